"""The figures of the page: what each is, where the paper has it, and which metrics it is drawn from."""

from dataclasses import dataclass

from recipe.retool.report.gather import PASSED, SCORE, TOOL_SECONDS

RETOOL = "https://arxiv.org/abs/2504.11536"
SIMPLETIR = "https://arxiv.org/abs/2509.02479"
DAPO = "https://arxiv.org/abs/2503.14476"
VERL = "https://verl.readthedocs.io/en/latest/"
SHARE, NUMBER, SECONDS = "share", "number", "seconds"
ACCURACY = "report/accuracy"  # taken from the scores, with its interval
BEST, MAJORITY = "report/best", "report/majority"


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        keys: Metrics of training, the first that a run has; also figures counted from trajectories.
        label: Told apart by this in a figure of several lines.
        validation: Figure of a validation or an evaluation; empty where it has none.
    """

    keys: tuple[str, ...]
    label: str = ""
    validation: str = ""


@dataclass(frozen=True)
class Figure:
    """One chart.

    Attributes:
        id: Its anchor.
        section: Where on the page it stands.
        title: What it shows.
        definition: One sentence.
        source: The figure of a paper that it corresponds to; empty for none.
        url: Of that paper.
        unit: ``share``, ``number`` or ``seconds``.
        lines: What is drawn.
        missing: Why a run may lack it: a key of ``recipe.retool.report.why``.
        log: Drawn on a logarithmic axis.
        fold_zero: A figure that is 0 everywhere is said in words.
    """

    id: str
    section: str
    title: str
    definition: str
    lines: tuple[Line, ...]
    source: str = ""
    url: str = RETOOL
    unit: str = NUMBER
    missing: str = "metrics"
    log: bool = False
    fold_zero: bool = False


def _both(name: str, label: str = "") -> tuple[Line, ...]:
    return (Line((f"retool/{name}",), label, f"retool/{name}"),)


LEARNING, TOOLS, FAILURES, HEALTH, TIME = "learning", "tools", "failures", "health", "time"
SECTIONS = {
    LEARNING: "Learning",
    TOOLS: "Tool use",
    FAILURES: "Failures",
    HEALTH: "Optimiser and rollout",
    TIME: "Time",
}

_LEARNING = (
    Figure("validation-accuracy", LEARNING, "Validation accuracy, avg@k",
           "Mean over problems of the share of right answers; the band is the 95% interval, bootstrapped "
           "over problems.",
           (Line((), "", ACCURACY),), "ReTool Fig. 1 (avg@32)", unit=SHARE, missing="validation"),
    Figure("training-accuracy", LEARNING, "Training accuracy",
           "Share of training trajectories with the right answer, before any of them is filtered out.",
           (Line(("retool/accuracy",)),), unit=SHARE, missing="counters"),
    Figure("pass-maj", LEARNING, "Validation pass@k and maj@k",
           "Problems with at least one right answer of k; problems whose most frequent answer of k is right.",
           (Line((), "pass@k", BEST), Line((), "maj@k", MAJORITY)),
           "DAPO Fig. 1 (pass@32, cons@32)", DAPO, SHARE, "several"),
    Figure("reward", LEARNING, "Reward",
           "Mean score of a trajectory: +1 for a right answer, -1 for a wrong one, and the parts of "
           "reward_mix.",
           (Line(("critic/score/mean", SCORE), "", SCORE),), "DAPO (curves of reward)", DAPO),
    Figure("response-length", LEARNING, "Response length",
           "Tokens of a response, tool results included.",
           (Line(("retool/response_tokens", "response_length/mean"), "", "retool/response_tokens"),),
           "ReTool Fig. 3a"),
)  # fmt: skip
_TOOLS = (
    Figure("code-ratio", TOOLS, "Code ratio",
           "Share of responses with at least one tool call that was run.",
           _both("tool_call_rate"), "ReTool Fig. 3b", unit=SHARE, missing="counters"),
    Figure("code-lines", TOOLS, "Mean code lines",
           "Non-blank lines of code in a call that was run.",
           _both("code_lines_per_call"), "ReTool Fig. 3c", missing="tools"),
    Figure("calls-turns", TOOLS, "Tool calls and turns per response",
           "Calls that were run, and turns of the model, a response.",
           (*_both("calls_per_response", "tool calls"), *_both("turns_per_response", "turns")),
           "SimpleTIR (mean turns)", SIMPLETIR, missing="counters"),
    Figure("pass-rate", TOOLS, "Code pass rate, right and wrong answers",
           "Calls whose program ended without an error, of those that the sandbox answered.",
           (*_both("code_pass_rate_right", "right answers"), *_both("code_pass_rate_wrong", "wrong answers")),
           "ReTool Fig. 3e", unit=SHARE, missing="tools"),
    Figure("correct-code", TOOLS, "Total correct code",
           "Number of calls that passed: in the trajectories of a training step, and in a whole validation.",
           (Line((PASSED,), "", PASSED),), "ReTool Fig. 3d", missing="tools"),
    Figure("invocation-timing", TOOLS, "Invocation timing",
           "Where the first call begins, as a share of all that the model wrote. 0: it calls at once.",
           _both("code_start"), "ReTool Fig. 3f", unit=SHARE, missing="tools"),
)  # fmt: skip
_FAILURES = tuple(
    Figure(name.replace("_", "-"), FAILURES, title, definition, _both(name), source, url, SHARE, missing,
           fold_zero=True)
    for name, title, definition, missing, source, url in (
        ("empty_output_rate", "Empty output", "Calls that printed nothing, of the calls that were run.",
         "tools", "", ""),
        ("name_error_rate", "NameError",
         "Calls that ended in a NameError: the model counts on variables of an earlier call.",
         "tools", "", ""),
        ("timeout_rate", "Time-outs", "Calls stopped at the time limit.", "tools", "", ""),
        ("parse_failure_rate", "Parse failures",
         "Malformed, incomplete, unknown and badly parametrised calls, of all attempts.", "attempts", "", ""),
        ("truncated_rate", "Truncated", "Trajectories that a budget ended: tokens, turns, calls or seconds.",
         "counters", "", ""),
        ("void_turn_rate", "Void turns",
         "Turns with neither a whole call nor an answer, of all turns of the model.",
         "counters", "SimpleTIR (void turns)", SIMPLETIR),
        ("sandbox_unavailable_rate", "Sandbox unavailable",
         "Trajectories with a call that the sandbox did not answer.", "counters", "", ""),
    )
)  # fmt: skip
_HEALTH = (
    Figure("entropy", HEALTH, "Entropy",
           "Mean entropy of the policy over the tokens that are trained on, in nats.",
           (Line(("actor/entropy", "actor/entropy_loss")),), "DAPO (curves of entropy)", DAPO,
           missing="entropy"),
    Figure("grad-norm", HEALTH, "Gradient norm",
           "Norm of the actor's gradient before it is clipped.",
           (Line(("actor/grad_norm",)),), "SimpleTIR Fig. 1", SIMPLETIR),
    Figure("ppo-kl", HEALTH, "KL of the update",
           "verl's estimate of KL(old policy, new policy) over a step (actor/ppo_kl).",
           (Line(("actor/ppo_kl",)),), "verl: actor/ppo_kl", VERL),
    Figure("probs-diff", HEALTH, "Rollout against trainer: probabilities",
           "Difference of the probability of the same token in rollout engine and trainer: mean and largest.",
           (Line(("training/rollout_probs_diff_mean",), "mean"),
            Line(("training/rollout_probs_diff_max",), "max")),
           "verl: training/rollout_probs_diff_*", VERL, missing="mismatch", log=True),
    Figure("rollout-kl", HEALTH, "Rollout against trainer: KL",
           "KL(rollout, trainer) by the estimate k3, over whole responses (rollout_corr/k3_kl).",
           (Line(("rollout_corr/k3_kl", "rollout_corr/kl")),), "verl: rollout_corr/*", VERL,
           missing="mismatch"),
    Figure("mismatch-turns", HEALTH, "Rollout against trainer, by turn",
           "The estimate k3 of KL(rollout, trainer) in the model's first, second, third ... turn.",
           tuple(Line((f"retool/mismatch/k3_mean/turn_{turn}",), f"turn {turn}") for turn in range(1, 9)),
           "verl issue 5229 (drift of later turns)", "https://github.com/volcengine/verl/issues/5229",
           missing="mismatch", log=True),
)  # fmt: skip
_TIME = (
    Figure("sandbox-seconds", TIME, "Sandbox, seconds of a call",
           "Median and 95th percentile of the seconds of a call, waiting included.",
           (*_both("call_seconds_p50", "p50"), *_both("call_seconds_p95", "p95")), unit=SECONDS,
           missing="tools"),
    Figure("tool-seconds", TIME, "Tools, seconds of a response",
           "Mean seconds that a response spent in calls. Responses run side by side, inside the time of "
           "generation.",
           (Line((TOOL_SECONDS, "timing_s/agent_loop/tool_calls/mean"), "", TOOL_SECONDS),), unit=SECONDS,
           missing="tools"),
    Figure("throughput", TIME, "Tokens a second",
           "Tokens of a step, prompts included, divided by its seconds and its devices (perf/throughput).",
           (Line(("perf/throughput",)),), "verl: perf/throughput", VERL),
)  # fmt: skip

FIGURES: tuple[Figure, ...] = (*_LEARNING, *_TOOLS, *_FAILURES, *_HEALTH, *_TIME)

"""How far a run is and how lively, in words that claim no more than files can tell."""

from collections.abc import Sequence

from recipe.retool.watch.figures import Figures
from recipe.retool.watch.source import Look
from recipe.retool.watch.stages import Stage
from recipe.retool.watch.words import duration

QUIET_TIMES = 5.0  # a step that takes so many usual ones, and a validation, is worth a word ...
QUIET_SECONDS = 60.0  # ... and never before a minute
SILENT_LOG_SECONDS = 600.0  # verl's own actors write to the log every few minutes, whatever happens
_BAR = 20
_MERGE = "merge"  # stages of a quickstart that make a Hugging Face model of a checkpoint


def title(name: str, look: Look, stages: Sequence[Stage]) -> str:
    """``runs/a: rl, attempt 2``."""
    present = next((stage.name for stage in stages if not stage.done), "")
    words = [present] if present else []
    if not words and (look.plan.evaluation or look.answers):
        words.append("evaluation")
    if look.attempt > 1:
        words.append(f"attempt {look.attempt}")
    return f"{name}: {', '.join(words)}" if words else name


def state_lines(look: Look, stages: Sequence[Stage], figures: Figures) -> list[str]:
    """Stages, progress and age."""
    lines = ["stages: " + ", ".join(_stage_words(stage) for stage in stages)] if stages else []
    finished = bool(stages) and all(stage.done for stage in stages)
    if look.answers:
        lines.append(_answers_line(look))
    elif look.step is not None and not look.plan.evaluation:
        lines.append(_progress_line(look, figures))
    if finished:
        lines.append("all stages are done")
    elif any(stage.name.startswith(_MERGE) and not stage.done for stage in stages):
        lines.append("training has ended; its checkpoint is being merged")
    else:
        lines.append(_age_line(look, figures))
    return lines


def _stage_words(stage: Stage) -> str:
    return f"{stage.name} {duration(stage.seconds)}" if stage.done else f"{stage.name} under way"


def _progress_line(look: Look, figures: Figures) -> str:
    step, total = look.step or 0, look.plan.total
    if total is None:
        line = f"step {step}, of a number that neither config.yaml nor engine.log tells"
    else:
        filled = min(_BAR, _BAR * step // total)
        line = f"step {step} of {total} [{'#' * filled}{'.' * (_BAR - filled)}] {min(1.0, step / total):.0%}"
    return line + _time_left(figures.step_seconds or look.pace, total and total - step, look.ended, "a step")


def _answers_line(look: Look) -> str:
    answers = look.answers
    if answers is None:
        return ""
    count, total = answers.count, answers.total
    line = f"{count} answers" if total is None else f"{count} of {total} answers ({count / total:.0%})"
    return line + _time_left(answers.pace, total and total - count, look.ended, "an answer")


def _time_left(pace: float | None, left: int | None, ended: bool, what: str) -> str:
    if pace is None or ended:
        return ""
    told = f", {pace:.1f} s {what}"
    return told + (f", about {duration(pace * left)} left" if left and left > 0 else "")


def _age_line(look: Look, figures: Figures) -> str:
    if look.age is None or (
        look.step is None and not look.answers
    ):  # verl makes its file before the first step
        return _starting(look)
    line = f"{'last answer' if look.answers else 'last step'} written {duration(look.age)} ago"
    if look.answers and look.answers.count == look.answers.total:
        return f"all answers are there; {line}"
    if look.ended:
        whole = look.plan.total is None or (look.step or 0) >= look.plan.total
        return f"the run has ended; {line}" if whole else f"the run has ended before its last step; {line}"
    if look.plan.total is not None and look.step is not None and look.step >= look.plan.total:
        return f"{line}; that was the last one"
    usual = (look.answers.pace if look.answers else None) or figures.step_seconds or look.pace
    if usual is None:  # SFT logs no times, and nobody has watched it yet
        return f"{line}; {_why_quiet(look)}" if look.age > SILENT_LOG_SECONDS else line
    if look.age < max(QUIET_SECONDS, QUIET_TIMES * usual + figures.longest_pause):
        return line
    return f"{line}, {look.age / usual:.0f} times as long as usual: {_why_quiet(look)}"


def _why_quiet(look: Look) -> str:
    if look.log_age is None:
        return "a long step, a validation, a checkpoint, or it has ended"
    log = f"{look.log_name} was written {duration(look.log_age)} ago"
    if look.answers:
        return f"{log}, so it waits for long answers, hangs or was killed"
    if look.log_age > SILENT_LOG_SECONDS:
        return f"{log}, so the run hangs or was killed"
    return f"{log}, so it is at work on a long step, a validation or a checkpoint, or it hangs"


def _starting(look: Look) -> str:
    if look.ended:
        return "the run has ended without a step; its log ends so:"
    if look.log_age is None:
        return "neither metrics nor engine.log here yet"
    what = "answer" if look.plan.evaluation else "step"
    log = f"no {what} yet; {look.log_name} was written {duration(look.log_age)} ago"
    if look.log_age <= SILENT_LOG_SECONDS:
        return f"{log} and ends so:"
    return f"{log}, so it loads something large, hangs or was killed:"

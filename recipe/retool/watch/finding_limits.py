"""When a figure is worth a word: the thresholds of :mod:`recipe.retool.watch.findings`, with reasons.

Where no source is named the number is this recipe's choice: far enough from what healthy runs show to stay
silent on them, near enough to speak before a night is lost.
"""

FIRST_STEPS = 5  # steps whose median says how a run began
EARLIER_STEPS = 20  # a step is compared with the median of so many before it ...
LEAST_EARLIER = 5  # ... and not before there are so many
IN_A_ROW = 3  # a rate over a small batch is noisy: so many steps in a row, not one
SAME_STRETCH = 3  # a figure that was quiet for so many steps or fewer has not recovered

# Tool use dies out without an error (verl#1569, gem#39, Pixel-Reasoner#39): turns go to 2.
TOOLS_WERE_THERE = 0.1  # of trajectories; a rate below that may vanish by chance in a batch
TOOLS_LEFT = 0.1  # of that earlier rate: nine tenths of it gone

# Reward from 90% to 10% within steps (verl#1581); half of it does not come back by itself.
ACCURACY_WAS_THERE = 0.1
ACCURACY_LEFT = 0.5  # of the best earlier level
ZERO_ACCURACY_STEPS = 10  # DAPO's filter would have thrown away every group of them
NO_VARIANCE_STEPS = 5  # one score for a whole batch: no group has an advantage

# Gradient explosion of multi-turn runs by one to two orders of magnitude (SimpleTIR, arXiv 2509.02479).
GRADIENT_TIMES = 10.0  # the median of earlier steps
GRADIENT_FLOOR = 1.0  # verl's clip_grad: what lies below is not even clipped

# Entropy to 0 is the collapse that DAPO's clip-higher answers (arXiv 2503.14476, figure 2); rising entropy
# came with failing tools (Open-AgentRL#7) and ends in gibberish.
ENTROPY_LEFT = 0.1  # of the first steps
ENTROPY_TIMES = 3.0  # the first steps ...
ENTROPY_FLOOR = 0.5  # ... and at least this, nats a token

# Rollout and trainer disagree in healthy bf16 runs, too; what counts is growth (verl#2953, AReaL#1290).
MISMATCH_TIMES = 3.0  # the first steps ...
MISMATCH_FLOOR = 0.01  # ... and at least this: |difference of probabilities|, or k3 in nats, a token

SANDBOX_UNAVAILABLE = 0.01  # of trajectories; a load test above that should not start a run (verl#3478)
DROPPED = 0.05  # of trajectories: the batch is that much smaller than it was meant
TRUNCATED = 0.3  # of trajectories: their reward says little about the answer
VOID_TURNS = 0.1  # of turns; the source of those gradient explosions (SimpleTIR)
# A validation is larger than a batch, and greedy where the model is sure: one is enough, and half as many.
# Of ten small RL runs one answered most easy problems with nothing: 11%; the others have 2% at most.
VALIDATION_VOID_TURNS = 0.05  # of turns, those of truncated answers apart
PARSE_FAILURES = 0.2  # of attempted calls (verl#7177: thousands of "Failed to decode tool call")

SLOW_TIMES = 3.0  # the median of earlier steps, checkpoints and validation apart ...
SLOW_SECONDS = 5.0  # ... and at least so much longer

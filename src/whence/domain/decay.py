"""How a signal fades: exponential decay, kept as the logarithm of a forward-decayed sum.

Each event of weight 1 at time t adds e^(rate * (t - L)) for a fixed landmark L, and a row keeps the natural logarithm
of the sum. Divided by e^(rate * (now - L)) at read, that is the classic decayed sum; the divisor is the same for all
rows, so nothing is rewritten as time passes and late events just add. In the log domain nothing overflows.

Source: Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay: A Practical Time Decay Model for Streaming Systems",
ICDE 2009.
"""

import math

LANDMARK_SECONDS = 1_577_836_800
"""L: 2020-01-01T00:00:00Z as seconds since the epoch. Fixed: stored sums depend on it."""

HALF_LIFE_SECONDS = 90 * 86_400
"""Age that leaves half of a signal. Stored sums depend on it; another one is a rebuild from the log."""

RATE_PER_SECOND = math.log(2) / HALF_LIFE_SECONDS

MIN_EXPONENT = -900 * math.log(2)
"""The clamp of a decay's exponent, 2^-900: PostgreSQL raises an error where exp() underflows, and products of two
factors must stay above the range's end."""


def log_contribution(time_seconds: float) -> float:
    """ln of what one event at that time (seconds since the epoch) adds to a stored sum."""
    return RATE_PER_SECOND * (time_seconds - LANDMARK_SECONDS)


def log_add(left: float, right: float) -> float:
    """ln(e^left + e^right), without overflow; -inf is the empty sum."""
    high, low = (left, right) if left >= right else (right, left)
    if low == -math.inf:
        return high
    return high + math.log1p(math.exp(low - high))


def decayed_sum(log_sum: float, now_seconds: float) -> float:
    """The decayed sum that a stored *log_sum* stands for at a moment: dimensionless, one fresh event gives 1.

    Events later than *now_seconds* count more than 1: the caller reads at or after the newest event.
    """
    return math.exp(max(log_sum - log_contribution(now_seconds), MIN_EXPONENT))


def decay(age_seconds: float, half_life_seconds: float) -> float:
    """The share that age leaves, 0 to 1; an age below 0 counts as 0 (clocks drift)."""
    return math.exp(max(-math.log(2) * max(age_seconds, 0.0) / half_life_seconds, MIN_EXPONENT))

"""The hour that local clocks show twice when summer time ends: its rows keep the order of the file.

Times without a zone repeat an hour on one Sunday in autumn. Sorted by the clock, both passes would be mixed, reading by reading. Which
rows are summer time elsewhere nobody can know, so all other stamps stay as written.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

HOUR = 3_600.0
SUNDAY = 6
MONTHS, HOURS = frozenset({3, 4, 9, 10, 11}), frozenset(range(5))
"""When clocks are set back, north and south, and the hours of the clock that may occur twice."""


def keep_order_in_double_hours(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[datetime]]:
    """Times (T,) since 1970 in the file's order, with the rows of an hour that occurs twice spread evenly over it; and these hours.

    An hour occurs twice where the clock goes back by one but for the usual step (for hourly rows: stands still), in the night to a
    Sunday in spring or autumn.

    >>> quarters = np.array([datetime(2023, 10, 29, h, m, tzinfo=UTC).timestamp() for h in (1, 2, 2, 3) for m in (0, 15, 30, 45)])
    >>> mended, hours = keep_order_in_double_hours(quarters)
    >>> (np.diff(mended) / 60).tolist()
    [15.0, 15.0, 15.0, 15.0, 7.5, 7.5, 7.5, 7.5, 7.5, 7.5, 7.5, 7.5, 15.0, 15.0, 15.0]
    >>> [f"{hour:%Y-%m-%d %H:%M}" for hour in hours]
    ['2023-10-29 02:00']
    """
    steps = np.diff(seconds)
    forward = steps[steps > 0]
    if not len(forward):
        return seconds, []
    usual = float(np.median(forward))
    if usual > HOUR:
        return seconds, []
    mended, hours = seconds.copy(), []
    for back in np.flatnonzero(np.abs(steps - (usual - HOUR)) <= usual / 2):
        last, again = seconds[back], seconds[back + 1]
        hour = datetime.fromtimestamp(again, UTC)
        if hour.weekday() != SUNDAY or hour.month not in MONTHS or hour.hour not in HOURS:
            continue
        first = int(back)
        while first > 0 and again <= seconds[first - 1] <= seconds[first]:
            first -= 1
        end = int(back) + 2
        while end < len(seconds) and seconds[end - 1] <= seconds[end] <= last:
            end += 1
        mended[first:end] = np.linspace(again, last + usual, end - first, endpoint=False)
        hours.append(hour)
    return mended, hours

"""The stretches of time that candles cover: UTC, weeks from Monday, calendar months."""

from typing import Final

_SECOND_MS = 1_000
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05, the first Monday


class Interval:
    """Stretches of equal length, counted from `offset_ms`."""

    def __init__(self, name: str, length_ms: int, offset_ms: int = 0) -> None:
        self.name = name
        self.length_ms = length_ms
        self.offset_ms = offset_ms

    def start(self, time: int) -> int:
        """Start of the candle that holds this time."""
        return time - (time - self.offset_ms) % self.length_ms

    def end(self, start: int) -> int:
        """Where the candle that starts here ends, and the next one starts."""
        return start + self.length_ms


class Month(Interval):
    """Calendar months, UTC. `length_ms` is that of a month of 30 days."""

    def __init__(self) -> None:
        super().__init__("1M", 30 * _DAY_MS)

    def start(self, time: int) -> int:
        return _first_day(_month(time)) * _DAY_MS

    def end(self, start: int) -> int:
        return _first_day(_month(start) + 1) * _DAY_MS


def _month(time: int) -> int:
    """Months since year 0 (Howard Hinnant, chrono-compatible low-level date algorithms); datetime ends in 9999."""
    era, day = divmod(time // _DAY_MS + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    month = (5 * (day - (365 * year + year // 4 - year // 100)) + 2) // 153  # from March
    return (era * 400 + year) * 12 + month + 2


def _first_day(month: int) -> int:
    """Days from the epoch to the first of a month so counted."""
    year, month = divmod(month - 2, 12)
    era, year = divmod(year, 400)
    return era * 146_097 + 365 * year + year // 4 - year // 100 + (153 * month + 2) // 5 - 719_468


INTERVALS: Final[dict[str, Interval]] = {
    interval.name: interval
    for interval in (
        Interval("1s", _SECOND_MS),
        Interval("1m", _MINUTE_MS),
        Interval("3m", 3 * _MINUTE_MS),
        Interval("5m", 5 * _MINUTE_MS),
        Interval("15m", 15 * _MINUTE_MS),
        Interval("30m", 30 * _MINUTE_MS),
        Interval("1h", _HOUR_MS),
        Interval("2h", 2 * _HOUR_MS),
        Interval("4h", 4 * _HOUR_MS),
        Interval("6h", 6 * _HOUR_MS),
        Interval("8h", 8 * _HOUR_MS),
        Interval("12h", 12 * _HOUR_MS),
        Interval("1d", _DAY_MS),
        Interval("3d", 3 * _DAY_MS),
        Interval("1w", 7 * _DAY_MS, _MONDAY_MS),
        Month(),
    )
}

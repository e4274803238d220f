"""Columns of dates and times, and of texts that only look like them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

from benchmarks.inference_collection import File, codes, days, kept, moments, picks, with_holes
from benchmarks.inference_truth import Meaning, meaning

Form = Callable[[datetime], str]

MONTHS = {
    "english": "January February March April May June July August September October November December",
    "german": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "french": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "dutch": "januari februari maart april mei juni juli augustus september oktober november december",
    "polish": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
}

DAY_FORMS: dict[str, Form] = {
    "iso": lambda day: f"{day:%Y-%m-%d}",
    "slashes": lambda day: f"{day:%Y/%m/%d}",
    "points_first": lambda day: f"{day:%Y.%m.%d}",
    "german": lambda day: f"{day:%d.%m.%Y}",
    "german_short": lambda day: f"{day.day}.{day.month}.{day.year}",
    "german_two_digits": lambda day: f"{day:%d.%m.%y}",
    "british": lambda day: f"{day:%d/%m/%Y}",
    "british_short": lambda day: f"{day.day}/{day.month}/{day.year}",
    "american": lambda day: f"{day:%m/%d/%Y}",
    "american_short": lambda day: f"{day.month}/{day.day}/{day.year}",
    "american_two_digits": lambda day: f"{day.month}/{day.day}/{day:%y}",
    "dutch": lambda day: f"{day:%d-%m-%Y}",
    "american_dashes": lambda day: f"{day:%m-%d-%Y}",
    "compact": lambda day: f"{day:%Y%m%d}",
    "compact_day_first": lambda day: f"{day:%d%m%Y}",
    "japanese": lambda day: f"{day.year}年{day.month}月{day.day}日",
    "iso_short": lambda day: f"{day.year}-{day.month}-{day.day}",
    "oracle": lambda day: f"{day.day:02}-{_month(day, 'english')[:3].upper()}-{day:%y}",
    "sas": lambda day: f"{day.day:02}{_month(day, 'english')[:3].upper()}{day.year}",
    "excel": lambda day: f"{day.day:02}-{_month(day, 'english')[:3]}-{day.year}",
}

NAMED_FORMS: dict[str, Form] = {
    "english": lambda day: f"{_month(day, 'english')} {day.day}, {day.year}",
    "english_day_first": lambda day: f"{day.day} {_month(day, 'english')} {day.year}",
    "english_short": lambda day: f"{_month(day, 'english')[:3]} {day.day}, {day.year}",
    "german": lambda day: f"{day.day}. {_month(day, 'german')} {day.year}",
    "french": lambda day: f"{day.day} {_month(day, 'french')} {day.year}",
    "spanish": lambda day: f"{day.day} de {_month(day, 'spanish')} de {day.year}",
    "italian": lambda day: f"{day.day} {_month(day, 'italian')} {day.year}",
    "dutch": lambda day: f"{day.day} {_month(day, 'dutch')} {day.year}",
    "polish": lambda day: f"{day.day} {_month(day, 'polish')} {day.year}",
}

TIME_FORMS: dict[str, Form] = {
    "iso_t": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    "iso_space": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "zulu": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
    "milliseconds": lambda at: f"{at:%Y-%m-%d %H:%M:%S}.000",
    "offset": lambda at: at.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=2))).isoformat(),
    "two_offsets": lambda at: at.replace(tzinfo=UTC).astimezone(_berlin(at)).isoformat(),
    "utc": lambda at: f"{at:%Y-%m-%d %H:%M:%S} UTC",
    "german": lambda at: f"{at:%d.%m.%Y %H:%M:%S}",
    "american_pm": lambda at: f"{at:%m/%d/%Y} {(at.hour - 1) % 12 + 1}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}",
    "british": lambda at: f"{at:%d/%m/%Y %H:%M:%S}",
    "rfc_2822": lambda at: format_datetime(at.replace(tzinfo=UTC)),
    "server_log": lambda at: f"{at:%d}/{_month(at, 'english')[:3]}/{at:%Y:%H:%M:%S} +0000",
    "basic": lambda at: f"{at:%Y%m%dT%H%M%SZ}",
    "compact": lambda at: f"{at:%Y%m%d%H%M%S}",
    "epoch_seconds": lambda at: str(_epoch(at)),
    "epoch_milliseconds": lambda at: str(1000 * _epoch(at)),
    "epoch_microseconds": lambda at: str(10**6 * _epoch(at)),
    "excel_serial": lambda at: f"{_epoch(at) / 86_400 + 25_569:.8f}",
}

ROUNDED = {"excel_serial"}


def _month(day: datetime, language: str) -> str:
    return MONTHS[language].split()[day.month - 1]


def _berlin(at: datetime) -> timezone:
    return timezone(timedelta(hours=2 if 4 <= at.month <= 9 else 1))


def _epoch(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp())


def files() -> Iterator[File]:
    """Return the files."""
    for forms, name in ((DAY_FORMS, "day"), (NAMED_FORMS, "named"), (TIME_FORMS, "time")):
        names = list(forms)
        for place in range(0, len(names), 7):
            yield _forms(f"{name}_{place}", name, {form: forms[form] for form in names[place : place + 7]})
    yield from (
        _ambiguous("ambiguous_slash", "/"),
        _ambiguous("ambiguous_point", "."),
        _ambiguous("ambiguous_dash", "-"),
    )
    yield from (_far(), _holes(), _broken(), _sentinels(), _periods(), _times_of_day(), _look_alikes(), _few_dates())


def _dates(values: Sequence[datetime | None]) -> Meaning:
    return meaning("date", values)


def _forms(name: str, what: str, forms: dict[str, Form]) -> File:
    """Write dates in several forms; each column decides the order of its parts."""
    file = File(
        f"dates_{name}", f"dates: {'with a time' if what == 'time' else 'month names' if what == 'named' else 'days'}"
    )
    for form, write in forms.items():
        draw = moments if what == "time" else days
        values = draw(file.rng, file.n_rows, "2019-01-05", "2024-12-28")
        if form in ROUNDED:
            values = [datetime(value.year, value.month, value.day) for value in values]
            write = lambda day: str(_epoch(day) // 86_400 + 25_569)  # noqa: E731 - days since 1899-12-30
        file.add(f"{form}_date", map(write, values), _dates(values))
    return file


def _ambiguous(name: str, separator: str) -> File:
    """Write dates whose days are all 12 at most: neither order is certain, so only a question is right.

    With points, the day is always first.
    """
    file = File(name, "dates: ambiguous")
    for column in ("first_date", "other_date"):
        values = [
            value.replace(day=value.day % 12 + 1) for value in days(file.rng, file.n_rows, "2019-01-01", "2024-12-28")
        ]
        wanted = _dates(values) if separator == "." else meaning("date", (), "none")
        file.add(column, [f"{value:%d{separator}%m{separator}%Y}" for value in values], wanted)
    return file


def _far() -> File:
    """Write dates far from today, as databases have for open ends and archives for old ones."""
    file = File("dates_far", "dates: far")
    values = days(file.rng, file.n_rows, "2015-01-01", "2024-12-28")
    ends = [value if value.day % 2 else datetime(9999, 12, 31) for value in values]
    file.add("valid_to", [f"{value:%Y-%m-%d}" for value in ends], _dates(ends))
    for name, first, last in (("baptism", "1540-01-01", "1720-12-31"), ("birth", "1890-01-01", "2015-12-31")):
        values = days(file.rng, file.n_rows, first, last)
        file.add(name, [f"{value.year:04}-{value:%m-%d}" for value in values], _dates(values))
    values = days(file.rng, file.n_rows, "2400-01-01", "2900-12-31")
    file.add("decay", [f"{value:%Y-%m-%d}" for value in values], _dates(values))
    return file


def _holes() -> File:
    """Write dates with cells that mean no date."""
    file = File("dates_holes", "dates: missing")
    for name, marker in (
        ("shipped", ""),
        ("returned", "NULL"),
        ("paid", "0000-00-00"),
        ("closed", "-"),
        ("died", "n/a"),
    ):
        values = days(file.rng, file.n_rows, "2015-01-01", "2024-12-28")
        cells, there = with_holes(file.rng, [f"{value:%Y-%m-%d}" for value in values], marker, 0.4)
        file.add(name, cells, _dates([value if one else None for value, one in zip(values, there, strict=True)]))
    values = days(file.rng, file.n_rows, "2015-01-01", "2024-12-28")
    cells, there = with_holes(file.rng, [f"{value:%d.%m.%Y}" for value in values], "k.A.", 0.2)
    file.add("beginn", cells, _dates([value if one else None for value, one in zip(values, there, strict=True)]))
    return file


def _broken() -> File:
    """Write columns with days that do not exist, two orders or two forms: nothing but a question is right."""
    file = File("dates_broken", "dates: contradicting")
    values = days(file.rng, file.n_rows, "2015-01-01", "2024-12-28")
    none = meaning("date", (), "none")
    both = [f"{value:%d/%m/%Y}" if place % 2 else f"{value:%m/%d/%Y}" for place, value in enumerate(values)]
    file.add("two_orders", both, none)
    both = [f"{value:%Y-%m-%d}" if place % 2 else f"{value:%d.%m.%Y}" for place, value in enumerate(values)]
    file.add("two_forms", both, _dates(values))
    file.add(
        "no_such_day", ["2021-02-30" if place % 50 == 7 else f"{v:%Y-%m-%d}" for place, v in enumerate(values)], none
    )
    return file


def _sentinels() -> File:
    """Write days that mean no date: they are far from the others, and in many rows."""
    file = File("dates_sentinels", "sentinels")
    for name, sentinel in (("left", "1900-01-01"), ("seen", "1970-01-01"), ("ends", "2099-12-31")):
        values = days(file.rng, file.n_rows, "2018-01-01", "2024-12-28")
        cells, there = with_holes(file.rng, [f"{value:%Y-%m-%d}" for value in values], sentinel)
        file.add(name, cells, meaning("date", kept(values, there)))
    return file


def _periods() -> File:
    """Write months, quarters and weeks: levels, or the first day of each."""
    file = File("periods", "dates: periods")
    values = [value.replace(day=1) for value in days(file.rng, file.n_rows, "2019-01-01", "2024-12-28")]
    forms: dict[str, Form] = {
        "month": lambda day: f"{day:%Y-%m}",
        "month_slash": lambda day: f"{day:%m/%Y}",
        "quarter": lambda day: f"{day.year}Q{(day.month - 1) // 3 + 1}",
        "week": lambda day: f"{day.isocalendar().year}-W{day.isocalendar().week:02}",
        "month_name": lambda day: f"{_month(day, 'english')[:3]} {day.year}",
        "month_german": lambda day: f"{_month(day, 'german')[:3]} {day:%y}",
        "month_compact": lambda day: f"{day:%Y%m}",
        "month_only": lambda day: _month(day, "english")[:3].lower(),
    }
    for name, write in forms.items():
        texts = [write(value) for value in values]
        first = (
            [_dates(values)] if name in {"month", "month_slash", "month_name", "month_german", "month_compact"} else []
        )
        file.add(name, texts, meaning("text", texts), *first)
    return file


def _times_of_day() -> File:
    """Write times of day and durations, which are not dates of today."""
    file = File("times_of_day", "dates: times of day and durations")
    values = moments(file.rng, file.n_rows, "2020-01-01", "2021-01-01")
    for name, form, alike in (("opens_at", "%H:%M", ":00"), ("clock", "%H:%M:%S", ""), ("split", "%M:%S.50", "")):
        texts = [f"{value:{form}}" for value in values]
        file.add(name, texts, meaning("text", texts), meaning("text", [text + alike for text in texts]))
    texts = [f"{value.hour % 12 + 1}:{value:%M} {'AM' if value.hour % 2 else 'PM'}" for value in values]
    file.add("departs", texts)
    file.add("took", [f"{value.day + 20}:{value:%M:%S}" for value in values])
    file.add("iso_duration", [f"PT{value.hour}H{value.minute}M" for value in values])
    file.add("spoken", [f"{value.day}d {value.hour}h" for value in values])
    file.add("weekday", picks(file.rng, file.n_rows, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]))
    return file


def _look_alikes() -> File:
    """Write texts and numbers that a guess takes for dates."""
    file = File("date_look_alikes", "dates: look-alikes")
    rng, n = file.rng, file.n_rows
    file.add("size_range", picks(rng, n, ["1-2", "3-5", "6-10", "10-20"]))
    cells = picks(rng, n, ["1.10", "1.9", "2.0", "2.10", "3.1"])
    file.add("version", cells, *codes(cells))
    file.add("release", [f"{a}.{b}.{c}" for a, b, c in rng.integers(0, 13, (n, 3))])
    file.add("score", [f"{a}:{b}" for a, b in rng.integers(0, 6, (n, 2))])
    file.add("fraction", [f"{a}/{b}" for a, b in rng.integers(1, 12, (n, 2))])
    file.add(
        "part",
        [f"{a:02}-{b:02}-{c:04}" for a, b, c in zip(*(rng.integers(1, top, n) for top in (99, 99, 9999)), strict=True)],
    )
    file.add("section", [f"{a}.{b}" for a, b in rng.integers(1, 31, (n, 2))])
    file.add("model_number", [f"MAR-{a}" for a in rng.integers(1, 32, n)])
    file.add("season_years", picks(rng, n, ["2019/20", "2020/21", "2021/22"]))
    file.add("decade", picks(rng, n, ["1990s", "2000s", "2010s"]))
    years = [str(year) for year in rng.integers(1990, 2025, n)]
    file.add("year", years, meaning("number", list(map(float, years)), "numeric categorical"))
    texts = [str(value) for value in rng.integers(20_200_000, 90_000_000, n)]
    file.add("pieces", texts, meaning("number", list(map(float, texts))))
    return file


def _few_dates() -> File:
    """Write few distinct dates, each in many rows: dates all the same."""
    file = File("dates_few", "dates: few distinct")
    for name, form in (("opened", "%Y-%m-%d"), ("gebucht", "%d.%m.%Y"), ("billed", "%m/%d/%Y")):
        levels = days(file.rng, 12, "2020-01-01", "2023-12-28")
        values = [levels[place] for place in file.rng.integers(0, 12, file.n_rows)]
        cells, there = with_holes(file.rng, [f"{value:{form}}" for value in values], "")
        file.add(name, cells, meaning("date", kept(values, there)))
    return file

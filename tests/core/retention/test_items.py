"""What may be removed: by number, by age, and never what is needed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.retention.items import Item, Rule, expired

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _item(days: float, model: str = "credit", needed: str = "", name: str | None = None) -> Item:
    return Item("snapshots", model, name or f"{days:g}", NOW - timedelta(days=days), needed=needed)


def _names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def test_young_items_and_the_newest_stay() -> None:
    """Both bounds have to be exceeded."""
    items = [_item(days) for days in (1, 10, 20, 30)]
    assert _names(expired(items, Rule(newest=1, age=timedelta(days=15)), NOW)) == ["30", "20"]
    assert _names(expired(items, Rule(newest=3, age=timedelta(days=15)), NOW)) == ["30"]
    assert expired(items, Rule(newest=4), NOW) == []


def test_the_newest_are_counted_for_each_model() -> None:
    """A busy model does not push out what another has."""
    items = [_item(1, "busy"), _item(2, "busy"), _item(300, "quiet")]
    assert [(item.model, item.name) for item in expired(items, Rule(newest=1), NOW)] == [("busy", "2")]


def test_what_is_needed_stays_and_counts() -> None:
    """The champion stays whatever its age, and takes no place from nothing."""
    items = [_item(1), _item(2), _item(300, needed="it is the champion")]
    assert _names(expired(items, Rule(newest=2), NOW)) == []
    assert _names(expired(items, Rule(newest=1), NOW)) == ["2"]


def test_of_two_items_of_one_time_the_later_name_is_the_newer() -> None:
    """The choice does not depend on the order in which a disk lists its files."""
    items = [_item(1, name=name) for name in ("b", "a")]
    assert _names(expired(items, Rule(newest=1), NOW)) == _names(expired(items[::-1], Rule(newest=1), NOW)) == ["a"]


@given(
    st.lists(st.tuples(st.floats(0, 400), st.sampled_from(["", "a"]), st.sampled_from(["x", "y"])), max_size=20),
    st.integers(0, 5),
    st.floats(0, 400),
)
def test_a_repeat_removes_nothing_more(facts: list[tuple[float, str, str]], newest: int, days: float) -> None:
    """After what was chosen is gone, the same rule at the same time chooses nothing."""
    items = [
        Item("snapshots", model, str(number), NOW - timedelta(days=age), needed=needed)
        for number, (age, needed, model) in enumerate(facts)
    ]
    rule = Rule(newest, timedelta(days=days))
    gone = expired(items, rule, NOW)
    assert not any(item.needed for item in gone)
    left = [item for item in items if item not in gone]
    assert expired(left, rule, NOW) == []
    for model in ("x", "y"):
        assert sum(item.model == model for item in left) >= min(newest, sum(one.model == model for one in items))

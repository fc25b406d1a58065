"""Data of which some is not what it should be, for the readers of annotations and of detections."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(max_examples=10 * settings.default.max_examples, suppress_health_check=list(HealthCheck))

hostile = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 100),
    st.sampled_from([10**30, 10**400, -(10**400), 1e308, 1e-300, 1e-9, -0.0]),
    st.floats(-100, 100),
    st.floats(),
    st.sampled_from(["", "5.jpg", "no.jpg", "../5.jpg", "\x00", "dog"]),
    st.lists(st.floats(-50, 50), min_size=3, max_size=5),
    st.lists(st.integers(-5, 45), min_size=4, max_size=4),
    st.dictionaries(st.sampled_from(["id", "bbox"]), st.integers(), max_size=1),
)
bboxes = st.lists(st.one_of(st.integers(-5, 45), st.floats(-10, 60), st.floats()), min_size=4, max_size=4)


@st.composite
def change_of(draw, entries, more=()):
    """Replace, repeat or drop an entry of a list, or a field of one, by anything that JSON can hold; `more` are fields
    that an entry may get."""
    if not entries:
        return
    where = draw(st.integers(0, len(entries) - 1))
    how = draw(st.sampled_from(["field", "field", "drop", "entry", "repeat"]))
    if how == "entry" or not isinstance(entries[where], dict):
        entries[where] = draw(hostile)
    elif how == "repeat":
        entries.append(dict(entries[where]))
    else:
        key = draw(st.sampled_from([*entries[where], "iscrowd", *more]))
        entries[where].pop(key, None)
        if how == "field":
            entries[where][key] = draw(hostile)

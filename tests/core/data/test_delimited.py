import pytest

from core.data.delimited import Header, read_header
from core.errors import SchemaError, SourceError


@pytest.mark.parametrize(
    ("sample", "header"),
    [
        ("a,b\n1,2\n", Header(",", ("a", "b"))),
        ("a;b;c\n1,5;2,5;3\n1,0;2,2;4\n", Header(";", ("a", "b", "c"))),
        ("a\tb\n1\t2\n", Header("\t", ("a", "b"))),
        ("a|b\r\n1|2\r\n", Header("|", ("a", "b"))),
        ('"a, b";c\n1;2\n', Header(";", ("a, b", "c"))),
        ('"a\nb",c\n1,2\n', Header(",", ("a\nb", "c"))),
        ("only\n1\n2\n", Header(",", ("only",))),
        (",a\n0,5\n", Header(",", ("unnamed_1", "a"))),
        ("a,b\n1,2\n3\n4,5\n6,7\n", Header(",", ("a", "b"))),
        ("id,2021,2022,2023\nx,1,2,3\n", Header(",", ("id", "2021", "2022", "2023"))),
        ("id,2021\nx,1\n", Header(",", ("id", "2021"))),
        ("id,2024-01-01,2024-02-01\nx,1,2\n", Header(",", ("id", "2024-01-01", "2024-02-01"))),
        ("name,city\nname,city\nx,y\n", Header(",", ("name", "city"))),
        ("a,other\n1,other\n2,x\n", Header(",", ("a", "other"))),
        ("x,y\n,\n,\n", Header(",", ("x", "y"))),
    ],
)
def test_the_first_line_gives_delimiter_and_names(sample: str, header: Header) -> None:
    """The delimiter is the one most rows agree on; names may be quoted, empty or years."""
    assert read_header(sample, "rows.csv") == header


def test_a_given_delimiter_is_taken() -> None:
    """What the model file says is not sniffed."""
    assert read_header("a,b;c\n1,2;3\n", "rows.csv", ",").names == ("a", "b;c")


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        ("", SourceError, "rows.csv is empty"),
        ("\n\n", SourceError, "is empty"),
        ("\na,b\n1,2\n", SourceError, "line 1: expected column names, found an empty line"),
        ("a,b,a\n1,2,3\n", SchemaError, "columns of the same name .*: 'a'; rename them"),
        ("Age,age\n1,2\n", SchemaError, "upper and lower case count as equal"),
        (
            "0,0,0,0.2,Feb,FALSE\n1,0,0,0.2,Feb,TRUE\n",
            SourceError,
            "line 1: expected column names, found what looks like a row",
        ),
        ("yes,no,3,3,x,y\n", SchemaError, "if the file has no line of column names, add one"),
        ("p,x,s,n,p,x,n,k\n", SchemaError, "if the file has no line of column names, add one"),
        ("7\n8\n9\n", SourceError, "looks like a row"),
        (
            "C-1,north,34,yes\nC-2,south,51,no\nC-3,south,7,no\n",
            SourceError,
            r"line 1: .* a row \(C-1, north, 34, yes\); add a line of",
        ),
        ("C-1,2024-01-05,north\nC-2,2024-01-06,south\nC-3,2024-01-07,east\n", SourceError, "looks like a row"),
        ("C-1,31.12.2024,7.5\nC-2,01.01.2025,2\nC-3,01.01.2025,3\n", SourceError, "looks like a row"),
        ("red,small,yes\nblue,large,no\nred,large,no\nblue,small,yes\nred,large,no\n", SourceError, "looks like a row"),
        ("a\0,\0b\n", SourceError, "found zero bytes"),
    ],
)
def test_a_first_line_that_names_no_columns_is_refused(sample: str, error: type[Exception], message: str) -> None:
    """Empty files, repeated names and rows in place of names each get their own message."""
    with pytest.raises(error, match=message):
        read_header(sample, "rows.csv")

import re

import pytest

from core.init.names import model_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("data/Loan Applications (2026).csv", "loan_applications_2026"),
        ("s3://lake/bike/", "bike"),
        ("s3://lake/bike/*.parquet", "bike"),
        ("Übergröße.csv", "ubergroe"),
        ("2024.csv.gz", "model_2024"),
        ("v2.csv", "model_v2"),
        ("latest.parquet", "model_latest"),
        ("日本.csv", "model"),
        ("x" * 300 + ".csv", "x" * 56),
    ],
)
def test_a_model_is_named_after_its_file(address: str, name: str) -> None:
    """Whatever the file is called, the name is one the schema takes."""
    assert model_name(address) == name
    assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name)

"""What MLflow raises becomes an error that says what to do."""

import pytest

from config.settings import Settings
from core.errors import StorageError
from tasks.registry.client import mlflow_failures


def test_an_upload_that_its_server_left_is_a_failure_of_storage(project: Settings) -> None:
    """The library tries again with a file that is closed by then, and raises what is no error of a network."""
    with pytest.raises(StorageError, match=r"MLflow at .* failed: seek of closed file"), mlflow_failures(project):
        raise ValueError("seek of closed file")


def test_a_wrong_value_stays_one(project: Settings) -> None:
    """A bug of ours is not told as a failure of MLflow."""
    with pytest.raises(ValueError, match="invalid literal"), mlflow_failures(project):
        int("one")

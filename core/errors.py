"""Every error Perennial raises, as one tree.

::

    PerennialError                  exit code 1: a fault in Perennial
    └── UserError                   exit code 2: the caller can fix it
        ├── ConfigError             a model file, a setting or an option is wrong
        ├── SourceError             the rows cannot be read
        │   ├── SchemaError         the rows can be read but are not what the model file declares
        │   └── SourceTooLargeError the source announces more rows than the cap
        ├── DataVersionError        a data version does not exist or cannot be brought back
        ├── TrainingError           the rows cannot train this estimator
        ├── ModelNotFoundError      no such model, version or alias
        ├── BundleError             a bundle cannot be read or is not what was registered
        ├── PromotionError          a version cannot be approved, rejected or rolled back as asked
        │   └── StaleChampionError  the champion changed meanwhile
        ├── ReleaseError            a release cannot be started or moved as asked
        │   └── StaleReleaseError   the release moved meanwhile
        ├── RunInProgressError      another run holds the model
        └── StorageError            a disk, a database or a remote failed: repair it, run again

A refusal by the validation, by a leakage check or by the gate is not an error: it is a value with
reasons, and the command ends with exit code 3.
"""


class PerennialError(Exception):
    """A failure that the caller cannot fix by changing an input."""

    exit_code = 1


class UserError(PerennialError):
    """A failure that the caller can fix; the message says how."""

    exit_code = 2


class ConfigError(UserError):
    """A model file, a setting or an option is wrong."""


class SourceError(UserError):
    """The rows of a source cannot be read."""


class SchemaError(SourceError):
    """The rows can be read, but are not what the model file declares."""


class SourceTooLargeError(SourceError):
    """The source announces more rows than the configured cap."""


class DataVersionError(UserError):
    """A data version does not exist, or its bytes cannot be brought back."""


class TrainingError(UserError):
    """The rows cannot train this estimator."""


class ModelNotFoundError(UserError):
    """The model, version or alias does not exist."""


class BundleError(UserError):
    """A bundle cannot be read or is not what was registered."""


class PromotionError(UserError):
    """A version cannot be approved, rejected or rolled back as asked."""


class StaleChampionError(PromotionError):
    """The champion changed meanwhile: decide again, against the current champion."""


class ReleaseError(UserError):
    """A release cannot be started or moved as asked."""


class StaleReleaseError(ReleaseError):
    """The release moved meanwhile: look at it again."""


class RunInProgressError(UserError):
    """Another run holds the model."""


class StorageError(UserError):
    """A disk, a database or a remote failed: repair it and run the same command again."""

"""Allow-list of the types in a registered pipeline.

A skops file names Python types, and the code that loads it must pass the types that may be built. MLflow reads that
list from the artifact itself, which an attacker can change, so all our code that loads a bundle passes this list to
``skops.io.load``. skops itself trusts scikit-learn's public estimators.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TRUSTED_TYPES = (
    "core.contract.PrepareColumns",
    "numpy.dtype",
    # Trees have indices that scikit-learn does not check: a forged file can crash the process that predicts with it.
    # The manifest's hashes protect against forged files; without trees there would be no forests and no boosting.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    # Losses of generalised linear models that skops does not know.
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    # Calibrated, voting and stacked models.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.utils._bunch.Bunch",
    # Nearest neighbours: the search trees and the distances they can index.
    "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
    "sklearn.metrics._dist_metrics.CanberraDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HammingDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._dist_metrics.SEuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    # Neural networks and Gaussian processes.
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # Target encoding stores the cross-validation it was fitted with.
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    # Spline features.
    "scipy.interpolate._bsplines.BSpline",
)
"""Reviewed types by dotted name; a model file adds others under ``training.trusted_types``."""


def trusted_types(extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the allow-list with a model file's own types added, each once."""
    return tuple(dict.fromkeys([*TRUSTED_TYPES, *extra]))


def untrusted_message(names: Iterable[str]) -> str:
    """Return a message about the types of a fitted pipeline that are not allowed, and what to do.

    Examples
    --------
    >>> print(untrusted_message(["mine.Booster"]))
    the fitted pipeline has types that are not on the list of trusted types: mine.Booster.
    A model is stored without pickle, and only types on that list can be loaded. If you wrote or reviewed
    these types, add them to the model file:
      training: {trusted_types: [mine.Booster]}
    """
    listed = ", ".join(sorted(names))
    return (
        f"the fitted pipeline has types that are not on the list of trusted types: {listed}.\n"
        "A model is stored without pickle, and only types on that list can be loaded. If you wrote or reviewed\n"
        "these types, add them to the model file:\n"
        f"  training: {{trusted_types: [{listed}]}}"
    )

"""The reference is a real model in ONNX Runtime that always does the same work."""

from __future__ import annotations

import numpy as np

from serving.rehearsal.reference import LAYERS, SIZE, reference_model


def test_the_reference_answers_as_its_layers_do() -> None:
    """Eight dense layers with tanh, every time the same bits."""
    predict = reference_model()
    first, again = np.asarray(predict())[0], np.asarray(predict())[0]
    places = np.arange(SIZE * SIZE, dtype="float32").reshape(SIZE, SIZE)
    rows = np.cos(places)
    for _ in range(LAYERS):
        rows = np.tanh(rows @ (np.sin(places) / SIZE))
    np.testing.assert_allclose(first, rows, atol=1e-5)
    np.testing.assert_array_equal(first, again)

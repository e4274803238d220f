"""How often gate and monitor err where rows come in clusters, with and without design effects.

Run ``python -m benchmarks.clusters``; prints Markdown tables, in minutes on two cores; ``--share 0.1`` makes a tenth of
the repetitions, ``--only gate`` or ``--only drift`` one half. All draws are seeded.

The gate's worlds are those of ``benchmarks.gate``: two models with noise of equal size are equally good. Here a part of
each model's noise is common to the rows of a cluster, as the errors about one customer are. The monitor's worlds are
those of ``benchmarks.drift_worlds`` without drift, where each feature's score has a part that is common to a cluster;
the reference comes from earlier clusters.
"""

from __future__ import annotations

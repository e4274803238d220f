"""Load bundles, let them answer, and print how many names pickle looked up meanwhile, and after pickle was used.

``python -m tests.serving.audited_load FOLDER MANIFEST …``
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from pathlib import Path
from typing import Any

found: list[tuple[Any, ...]] = []


def main() -> None:
    """Count from before the first import of ours."""
    sys.addaudithook(lambda event, details: found.append(details) if event == "pickle.find_class" else None)
    from core.train.trust import trusted_types
    from serving.model.served import load_model

    for folder, manifest in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        model = load_model(Path(folder), manifest, trusted_types(), name="credit", version=1)
        rows = model.reader.read(json.dumps({"rows": list(model.examples)}).encode())
        assert len(asyncio.run(model.answer(rows.values))) == rows.n
    seen = len(found)
    pickle.loads(pickle.dumps(Path))  # noqa: S301 - our own bytes, to show that the hook counts
    sys.stdout.write(json.dumps([seen, len(found)]))


if __name__ == "__main__":
    main()

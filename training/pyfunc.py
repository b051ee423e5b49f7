"""The bundle as an MLflow model "from code": plain files, and this module to read them.

MLflow runs this file when the model is loaded; nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features.signals import NAMES
from training.bundle import ModelBundle


class EscalonModel(PythonModel):
    """Signals in, calibrated risk out; the same numbers as `ModelBundle.risks`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle that was logged with the model."""
        self._bundle = ModelBundle.load(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a column `risk` for rows of signals; absent columns are unknown."""
        del context, params
        x = model_input.reindex(columns=list(NAMES)).to_numpy(dtype="float64")
        return pd.DataFrame({"risk": self._bundle.risks(x)}, index=model_input.index)


set_model(EscalonModel())

"""Places and secrets: what functions are given from a project's circumstances, never part of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funade.declare.node import Secret
from funade.declare.spec import Spec
from funade.errors import PlaceMissing
from funade.project.config import FILE


@dataclass(frozen=True)
class Places:
    """Where places and secrets are looked up: the environment goes before the ``locations`` of ``[places]``."""

    root: Path
    locations: Mapping[str, str]
    environ: Mapping[str, str]

    def arguments(self, spec: Spec) -> dict[str, Any]:
        """The places and secrets that a node's function asks for, by parameter.

        Raises:
            PlaceMissing: the profile and the environment do not give one.
        """
        places = {parameter: self.place(name, spec) for parameter, name in spec.places.items()}
        return places | {parameter: self.secret(name, spec) for parameter, name in spec.secrets.items()}

    def place(self, name: str, spec: Spec) -> Path:
        """The location ``name``: ``FUNADE_PLACE_NAME``, or ``[places]``, relative to the project's folder."""
        variable = f"FUNADE_PLACE_{name.upper()}"
        location = self.environ.get(variable) or self.locations.get(name)
        if not location:
            raise PlaceMissing(
                f"{spec.kind} `{spec.name}` expected a place `{name}`, got none",
                at=spec.place,
                do=f"set {variable}, or {name} under [places] in {FILE}",
            )
        return (self.root / location).resolve()

    def secret(self, name: str, spec: Spec) -> Secret:
        """The secret ``name``, from the environment or the file that ``NAME_FILE`` names."""
        value, file = self.environ.get(name), self.environ.get(f"{name}_FILE")
        if value is None and file:
            value = _read_secret(name, file, spec)
        if value is None:
            raise PlaceMissing(
                f"{spec.kind} `{spec.name}` expected a secret `{name}`, got none",
                at=spec.place,
                do=f"set {name} or {name}_FILE",
            )
        return Secret(name, value)


def _read_secret(name: str, file: str, spec: Spec) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PlaceMissing(
            f"{spec.kind} `{spec.name}` expected a secret `{name}` in {file}, got {type(error).__name__}",
            at=spec.place,
            do=f"mend {name}_FILE",
        ) from None

"""Stands in for the annotations of `slicer.parameterNodeWrapper`: defaults, limits and how widgets show numbers.

`validate(value)` raises ValueError when the value is not allowed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Default:
    """The value before the first set."""

    value: object


@dataclass(frozen=True)
class WithinRange:
    """Both ends are allowed."""

    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


@dataclass(frozen=True)
class Minimum:
    """The smallest value allowed."""

    minimum: float

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass(frozen=True)
class Maximum:
    """The largest value allowed."""

    maximum: float

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


@dataclass(frozen=True)
class Choice:
    """The values allowed."""

    choices: list

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


@dataclass(frozen=True)
class Decimals:
    """Digits that the widget shows."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """Step of the widget."""

    value: float

"""Two synthetic tables to start with, drawn from published or textbook figures."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TextIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Cut-offs of the World Health Organization, in kg/m2.
UNDERWEIGHT_BELOW = 18.5
OVERWEIGHT_FROM = 25.0
OBESE_FROM = 30.0


@dataclass(frozen=True)
class Adults:
    """Adults of one sex.

    Attributes:
        height_cm: mean height in cm.
        underweight: share with a body mass index (BMI) below 18.5 kg/m2.
        obese: share with a BMI of 30 kg/m2 or more.
    """

    height_cm: float
    underweight: float
    obese: float

    def log_bmi(self) -> NormalDist:
        """Return the normal distribution of log BMI with these two shares."""
        low = NormalDist().inv_cdf(self.underweight)
        high = NormalDist().inv_cdf(1 - self.obese)
        sigma = math.log(OBESE_FROM / UNDERWEIGHT_BELOW) / (high - low)
        return NormalDist(math.log(UNDERWEIGHT_BELOW) - low * sigma, sigma)

    def mean_bmi(self) -> float:
        """Return the mean BMI in kg/m2."""
        log_bmi = self.log_bmi()
        return math.exp(log_bmi.mean + log_bmi.variance / 2)


MEN = Adults(height_cm=171, underweight=0.088, obese=0.108)
WOMEN = Adults(height_cm=159, underweight=0.097, obese=0.149)
HEIGHT_SPREAD_CM = 7.0


def bodymass(rows: int, rng: np.random.Generator) -> pa.Table:
    """Return adults with height, weight and class: overweight or underweight.

    Half are men, half women. BMI is log-normal in each sex, with the worldwide shares of underweight
    and obesity among adults in 2014 (NCD Risk Factor Collaboration, Lancet 2016; 387: 1377-96). As a
    check, the mean BMI is 24.2 for men, as published, and 24.7 for women, published as 24.4. Mean
    heights are rounded from those of adults born in 1996 (the same authors, eLife 2016; 5: e13410),
    with a standard deviation of 7 cm. Height and BMI are independent. Classes follow the cut-offs of
    the World Health Organization; people between the cut-offs are left out.

    Args:
        rows: number of people.
        rng: draws them.

    Returns:
        The columns height_cm and weight_kg, rounded to 0.1, and bodymass, the class.
    """
    people = _people(rows, rng)
    while people.num_rows < rows:
        people = pa.concat_tables([people, _people(rows, rng)])
    return people.slice(0, rows)


def _people(count: int, rng: np.random.Generator) -> pa.Table:
    """Return people of both sexes, without those between the two classes."""
    is_man = rng.random(count) < 0.5  # noqa: PLR2004 - half
    height_cm = np.where(is_man, MEN.height_cm, WOMEN.height_cm)
    height_cm = np.round(height_cm + HEIGHT_SPREAD_CM * rng.normal(size=count), 1)
    men, women = MEN.log_bmi(), WOMEN.log_bmi()
    log_bmi = np.where(is_man, men.mean, women.mean) + (
        np.where(is_man, men.stdev, women.stdev) * rng.normal(size=count)
    )
    weight_kg = np.round(np.exp(log_bmi) * (height_cm / 100) ** 2, 1)
    bmi = (
        weight_kg / (height_cm / 100) ** 2
    )  # from the rounded columns, so that classes match the table
    extreme = (bmi < UNDERWEIGHT_BELOW) | (bmi >= OVERWEIGHT_FROM)
    names = np.where(bmi < UNDERWEIGHT_BELOW, "underweight", "overweight")
    return pa.table(
        {
            "height_cm": height_cm[extreme],
            "weight_kg": weight_kg[extreme],
            "bodymass": pa.array(names[extreme].tolist(), pa.string()),
        }
    )


@dataclass(frozen=True)
class Species:
    """Measures of the adult animals of one species.

    Lengths and mass are medians, which scale with the size of the animal, each with its own scatter.
    Temperature, heart rate and speed are means.

    Attributes:
        size_spread: standard deviation of log length between animals of the species.
        temperature_spread_c: standard deviation of body temperature.
    """

    mass_kg: float
    shoulder_height_cm: float
    body_length_cm: float
    tail_length_cm: float
    ear_length_cm: float
    temperature_c: float
    heart_rate_bpm: float
    top_speed_kmh: float
    size_spread: float
    temperature_spread_c: float


SPECIES: Mapping[str, Species] = {
    "cat": Species(4.2, 25, 46, 28, 6.0, 38.6, 150, 40, 0.10, 0.4),
    "dog": Species(15, 45, 68, 30, 10.0, 38.7, 100, 38, 0.30, 0.4),
    "llama": Species(140, 110, 150, 22, 15.0, 38.3, 70, 45, 0.10, 0.5),
    "lizard": Species(0.6, 7, 28, 36, 0.8, 33.5, 60, 20, 0.35, 2.5),
}
SCATTER = 0.12  # standard deviation of a log measure among animals of one size
HEART_RATE_SLOPE = -0.75  # per log length: heart rate falls as mass^(-1/4), mass grows as length^3


def animals(rows: int, rng: np.random.Generator) -> pa.Table:
    """Return cats, dogs, llamas and lizards with eight measures.

    The medians are typical textbook values for adult animals; a lizard is anything from a bearded
    dragon to a small monitor. The spreads are plausible. Neither comes from a data set. Size is
    log-normal within a species: lengths scale with it, mass with its cube, and heart rate with its
    -3/4th power (Kleiber's quarter-power law). Small dogs are as large as cats, so a good classifier
    still makes errors.

    Args:
        rows: number of animals; the species have equal numbers, shuffled.
        rng: draws them.

    Returns:
        Eight columns of numbers, rounded to about three digits, and animal, the class.
    """
    names = np.array(list(SPECIES))[rng.permutation(np.arange(rows) % len(SPECIES))]

    def typical(measure: str) -> NDArray[np.float64]:
        return np.array([getattr(SPECIES[name], measure) for name in names], np.float64)

    def scattered(measure: str, power: float) -> NDArray[np.float64]:
        return typical(measure) * np.exp(power * log_size + SCATTER * rng.normal(size=rows))

    log_size = typical("size_spread") * rng.normal(size=rows)
    temperature_c = typical("temperature_c") + (
        typical("temperature_spread_c") * rng.normal(size=rows)
    )
    return pa.table(
        {
            "mass_kg": np.round(scattered("mass_kg", 3), 2),
            "shoulder_height_cm": np.round(scattered("shoulder_height_cm", 1), 1),
            "body_length_cm": np.round(scattered("body_length_cm", 1), 1),
            "tail_length_cm": np.round(scattered("tail_length_cm", 1), 1),
            "ear_length_cm": np.round(scattered("ear_length_cm", 1), 1),
            "temperature_c": np.round(temperature_c, 1),
            "heart_rate_bpm": np.round(scattered("heart_rate_bpm", HEART_RATE_SLOPE)),
            "top_speed_kmh": np.round(scattered("top_speed_kmh", 0), 1),
            "animal": pa.array(names.tolist(), pa.string()),
        }
    )


@dataclass(frozen=True)
class Sample:
    """A synthetic table, and a network of suitable size.

    Attributes:
        make: draws a number of rows.
        target: the column with the class names.
        hidden: units of each hidden layer.
    """

    name: str
    make: Callable[[int, np.random.Generator], pa.Table]
    target: str
    hidden: tuple[int, ...]


SAMPLES: Mapping[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample("bodymass", bodymass, target="bodymass", hidden=(3,)),
        Sample("animals", animals, target="animal", hidden=(6, 6)),
    )
}


def write_csv(columns: pa.Table, stream: TextIO) -> None:
    """Write columns as CSV with a header; a missing cell is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in columns.columns), strict=True))

import io

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.samples import MEN, SAMPLES, WOMEN, animals, bodymass, write_csv
from pigeonhole.trainer.data.schema import Kind
from pigeonhole.trainer.data.table import read_table


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_mean_body_mass_index_is_the_published_one():
    assert MEN.mean_bmi() == pytest.approx(24.2, abs=0.05)
    assert WOMEN.mean_bmi() == pytest.approx(24.4, abs=0.35)


@pytest.mark.parametrize("adults", [MEN, WOMEN])
def test_distribution_has_the_published_shares(adults):
    log_bmi = adults.log_bmi()
    assert log_bmi.cdf(np.log(18.5)) == pytest.approx(adults.underweight)
    assert 1 - log_bmi.cdf(np.log(30)) == pytest.approx(adults.obese)


def test_people_are_labeled_by_the_cut_offs():
    people = bodymass(2000, rng())
    bmi = people["weight_kg"].to_numpy() / (people["height_cm"].to_numpy() / 100) ** 2
    names = np.array(people["bodymass"].to_pylist())
    assert (bmi[names == "underweight"] < 18.5).all()
    assert (bmi[names == "overweight"] >= 25).all()
    assert set(names) == {"overweight", "underweight"}


def test_people_have_plausible_heights_and_weights():
    people = bodymass(5000, rng())
    assert people["height_cm"].to_numpy().mean() == pytest.approx(165, abs=1)
    weights = people["weight_kg"].to_numpy()
    assert weights.min() > 25
    assert weights.max() < 200


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_sample_has_the_requested_rows_and_depends_only_on_the_seed(sample):
    assert sample.make(123, rng()).num_rows == 123
    assert sample.make(123, rng()) == sample.make(123, rng())


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_sample_written_as_csv_keeps_every_column(sample, tmp_path):
    columns = sample.make(400, rng())
    text = io.StringIO()
    write_csv(columns, text)
    path = tmp_path / "sample.csv"
    path.write_text(text.getvalue())
    prepared = prepare(read_table(path), sample.target)
    assert prepared.schema.classes == tuple(sorted(set(columns[sample.target].to_pylist())))
    assert {feature.kind for feature in prepared.schema.features} == {Kind.NUMBER}
    names = [feature.name for feature in prepared.schema.features]
    assert [*names, sample.target] == columns.column_names
    for place, name in enumerate(names):
        np.testing.assert_array_equal(prepared.examples.numbers[:, place], columns[name].to_numpy())


def test_samples_fit_the_input_sizes_of_their_networks():
    shapes = {
        name: (sample.make(8, rng()).num_columns - 1, *sample.hidden)
        for name, sample in SAMPLES.items()
    }
    assert shapes == {"bodymass": (2, 3), "animals": (8, 6, 6)}


def test_animals_have_four_classes_of_equal_size():
    _, counts = np.unique(animals(400, rng())["animal"].to_pylist(), return_counts=True)
    assert counts.tolist() == [100] * 4


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(max_iter=1000), MLPClassifier((6, 6), max_iter=400, random_state=0)],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # it may stop before it has settled
def test_animals_are_classified_well_but_not_perfectly(model):
    table = animals(3000, rng())
    inputs = np.column_stack([table[name].to_numpy() for name in table.column_names[:-1]])
    names = np.array(table["animal"].to_pylist())
    pipeline = make_pipeline(StandardScaler(), model).fit(inputs[:1500], names[:1500])
    assert 0.97 <= pipeline.score(inputs[1500:], names[1500:]) <= 0.995


def test_missing_cell_is_written_as_an_empty_cell():
    text = io.StringIO()
    columns = bodymass(1, rng()).set_column(0, "height_cm", [[None]])
    write_csv(columns, text)
    assert text.getvalue().splitlines()[1].startswith(",")

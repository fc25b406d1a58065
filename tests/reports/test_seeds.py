"""What several seeds say: the pooled standard deviation, and the standard errors that tables print."""

import numpy as np
import pytest

from alrp_ref.reports.seeds import Study, pooled_deviation, standard_error


def test_the_deviation_of_a_seed_is_pooled_over_all_cells_with_several():
    """s = sqrt(sum of squares around the cells' means / sum of n - 1); a cell with one seed adds nothing. By hand:
    {1, 3} and {2, 2, 5} have squares 2 and 6, and 3 degrees of freedom."""
    deviation, freedom = pooled_deviation([[1, 3], [7], [2, 2, 5]])
    assert deviation == pytest.approx(np.sqrt(8 / 3)) and freedom == 3
    with pytest.raises(ValueError, match="no cell has more than one seed"):
        pooled_deviation([[1], [2]])


def test_a_standard_error_falls_with_the_root_of_the_seeds():
    """Of a mean s / sqrt(n), of a difference s * sqrt(1 / n + 1 / m)."""
    assert standard_error(2.0, 4) == 1.0
    assert standard_error(2.0, 4, 2) == pytest.approx(2 * np.sqrt(1 / 4 + 1 / 2))


def test_a_table_shows_the_mean_and_its_standard_error():
    """In percent but for rho and minutes; what no seed has is "-", and nothing stands behind a mean if no cell has
    several seeds."""
    rows = [{"recipe": "a", "AP": x, "rho": None, "minutes": 3 * float(x)} for x in (0.1, "0.2", 0.3)]
    rows += [{"recipe": "b", "AP": 0.5, "rho": "", "minutes": 1.0}]
    study = Study(rows, lambda row: row["recipe"])
    assert study.shown("a", "AP") == "20.00 ± 5.77" and study.shown("b", "AP") == "50.00 ± 10.00"
    assert study.shown("a", "minutes") == "0.6 ± 0.2" and study.shown("a", "rho") == "-"
    assert Study(rows[-1:], lambda row: row["recipe"]).shown("b", "AP") == "50.00"

"""The map of class names stays a page and readable, however many classes there are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import disjoint, tick_labels

from aurl.figures import MAX_NAMES
from aurl.figures.names import class_similarity


@pytest.mark.parametrize(("count", "step"), [(40, 1), (120, 3), (700, 18)])
def test_names_of_a_map_do_not_touch(count, step):
    vectors = np.random.default_rng(0).normal(size=(count, 4))
    figure = class_similarity([f"class {i}" for i in range(count)], vectors, "title")
    texts, extents = tick_labels(figure.axes[0].yaxis)
    assert len(texts) == -(-count // step) <= MAX_NAMES and disjoint(extents)
    assert max(figure.get_size_inches()) < 10
    assert figure.axes[0].get_xlabel() == ("" if step == 1 else f"(one of {step} classes is named)")
    plt.close(figure)

import numpy as np

from input_pipeline.pages import drawing


def figure_of(color: str):
    with drawing.style():
        figure, (axes,) = drawing.subplots(2.0, 1.0)
        figure.set_facecolor(color)
        axes.set_axis_off()
        axes.text(0.5, 0.5, "rows")
    return figure


def test_equal_figures_are_equal_bytes():
    assert drawing.svg(figure_of("#ffffff")) == drawing.svg(figure_of("#ffffff"))


def test_text_stays_text():
    text = drawing.svg(figure_of("#ffffff"))
    assert text.startswith("<svg")
    assert "rows</text>" in text


def test_pixels_are_an_opaque_picture():
    found = drawing.pixels(figure_of("#ff0000"))
    assert found.dtype == np.uint8
    assert found.shape == (100, 200, 3)
    np.testing.assert_array_equal(found[0, 0], [255, 0, 0])

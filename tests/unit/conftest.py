"""Tests marked `development` compare with packages that the pack does not need; they run only when asked for.

pytest -m development
"""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "development: needs packages beyond the pack's; left out unless -m development names it"
    )


def pytest_collection_modifyitems(config, items):
    if "development" in (config.option.markexpr or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("development")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

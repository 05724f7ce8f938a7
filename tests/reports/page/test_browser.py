"""Where there is no Chromium."""

import shutil

import pytest
from browser import chromium


@pytest.mark.parametrize(("asked", "ends"), [("1", pytest.fail.Exception), ("0", pytest.skip.Exception)])
def test_a_chromium_that_is_required_and_missing_is_a_failure(
    asked: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.setenv("REQUIRE_CHROMIUM", asked)
    with pytest.raises(ends, match="No Chromium"), chromium():
        pass

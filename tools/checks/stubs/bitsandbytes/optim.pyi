# Any: its own types say less than its documentation, or are the whole of a library of which little is used here.
from typing import Any

def __getattr__(name: str) -> Any: ...

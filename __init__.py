"""Face Anonymizer for ComfyUI: replace the identity of every face in a photo, keep everything else.

In a Python program, without ComfyUI: `from face_anonymizer import Anonymizer` (docs/python.md).
"""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Entry point that ComfyUI calls once (V3); nothing is imported before, so that tools can use the package alone."""
    from .nodes import FaceAnonymizerExtension

    return FaceAnonymizerExtension()


def __getattr__(name: str):
    """Anonymizer, loaded when it is asked for: the import alone loads nothing."""
    if name == "Anonymizer":
        try:
            from .modules.headless.anonymizer import Anonymizer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error.name} is missing: pip install 'face-anonymizer[headless]' brings what is needed without "
                "ComfyUI.",
                name=error.name,
            ) from error

        return Anonymizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

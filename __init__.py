"""Face Anonymizer for ComfyUI: replace the identity of every face in a photo, keep everything else."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Entry point that ComfyUI calls once (V3); nothing is imported before, so that tools can use the package alone."""
    from .nodes import FaceAnonymizerExtension

    return FaceAnonymizerExtension()

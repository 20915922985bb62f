"""Who is told what a node found: the page that queued it. Names only; what touches ComfyUI's server is in nodes/."""

# The pack's own commands queue under such a name. They follow their prompts, but no page stands behind them.
COMMAND_PREFIX = "face-anonymizer-command-"
# Under this name of ComfyUI's extra_pnginfo they ask nodes that save what results are made by: versions and models.
ASKS_MAKERS = "face_anonymizer_asks_makers"

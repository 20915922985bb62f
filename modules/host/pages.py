"""Who is told what a node found: the page that queued it. Names only; what touches ComfyUI's server is in nodes/."""

# The pack's own commands queue under such a name. They follow their prompts, but no page stands behind them.
COMMAND_PREFIX = "face-anonymizer-command-"

"""The commands. Installed by pip, the package has them too, as `face-anonymizer` (command.py)."""

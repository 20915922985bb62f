"""Folder runs in a ComfyUI, which the commands share: client, server, journal, report."""

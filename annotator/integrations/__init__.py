"""This tool's network inside other tools."""

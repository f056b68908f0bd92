"""MOTS text as KITTI has it."""

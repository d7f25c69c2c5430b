"""Runs that are killed or damaged and started again, against an undisturbed one."""

"""Figures of the published studies, made anew from runs for print."""

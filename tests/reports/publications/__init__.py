"""Tests of the figures of publications."""

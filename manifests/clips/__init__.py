"""Clips: what a video file with sound holds, its picture at 25 frames a second, its sound at 16 kHz, and one
encoder.
"""

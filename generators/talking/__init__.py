"""Talking faces: a picture of a face speaks by a warp of its own, in step with speech of espeak-ng, and clips
of it are forged.

scene = generators.talking.scenes.Scene(face, seed=1, frames=75)
scene.pictures, scene.sound                                    # a real clip, in step by construction
CLIP_FORGERIES.create("av-shift").forge(scene, None)           # a fake of it, with its record
"""

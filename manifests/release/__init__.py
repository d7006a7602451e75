"""Releases: a folder another lab can load, check and cite."""

from manifests.release.build import build_release
from manifests.release.check import check_release, unchecked
from manifests.release.info import ReleaseInfo, ReleaseResult

__all__ = ["ReleaseInfo", "ReleaseResult", "build_release", "check_release", "unchecked"]

"""A tracker that keeps what it is told."""


class Recorder:
    def __init__(self):
        self.settings, self.lines, self.ended = None, [], None

    def start(self, settings):
        self.settings = settings

    def log(self, step, figures):
        self.lines.append((step, figures))

    def end(self, *, finished):
        self.ended = finished

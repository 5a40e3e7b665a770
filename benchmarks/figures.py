"""What has been measured so far, and whether it is as good as it should be."""

import statistics


class Figures:
    """Collects figures, prints each as it comes."""

    def __init__(self, runs, only):
        self.runs = runs
        self.only = only
        self.all = []

    def wanted(self, name):
        return not self.only or any(part in name for part in self.only)

    def measure(self, name, run, events, target=None, target_is_rate=False):
        """Runs `run()` -> (cpu, seconds, memory) after one warm-up, and keeps the medians; answers CPU-seconds per million."""
        run()
        samples = [run() for _ in range(self.runs)]
        cpu = statistics.median(sample[0] for sample in samples) / events * 1e6
        rate = statistics.median(events / sample[1] for sample in samples)
        memory = max(sample[2] for sample in samples)
        figure = rate if target_is_rate else cpu
        met = target is None or (figure >= target if target_is_rate else figure <= target)
        self.all.append({"name": name, "cpu_s_per_million": cpu, "events_per_s": rate, "rss_mb": memory / 2**20,
                         "target": target, "target_is_rate": target_is_rate, "met": met})
        wanted = ""
        if target is not None:
            wanted = f"  target {'>=' if target_is_rate else '<='} {target:,.3g}  {'met' if met else 'MISSED'}"
        print(f"{name:44} {cpu:7.3f} CPU-s/M {rate / 1e6:8.2f} M events/s {memory / 2**20:6.0f} MB{wanted}", flush=True)
        return cpu

    def add(self, name, value, target):
        """A single value that should be at most `target`."""
        self.all.append({"name": name, "value": value, "target": target, "met": target is None or value <= target})
        wanted = "" if target is None else f"  target <= {target}  {'met' if value <= target else 'MISSED'}"
        print(f"{name:44} {value:7.3f}{wanted}", flush=True)

    def check(self, name, is_right, said):
        """Whether an answer is right."""
        self.all.append({"name": name, "value": said, "met": is_right})
        print(f"{name:44} {said}  {'exact' if is_right else 'WRONG'}", flush=True)

"""The golden vectors of the protocol. In: wire/golden/*.json. Both encodings must say the same and leave the view the file names."""

import json
import unittest
from pathlib import Path

from tickwire import BinaryDecoder, DecodeError, JsonDecoder, Tracker
from tickwire.decimals import mantissa, plain

FOLDER = Path(__file__).parents[3] / "wire" / "golden"
VECTORS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


class Golden(unittest.TestCase):
    def test_there_are_vectors(self):
        self.assertGreaterEqual(len(VECTORS), 8)

    def test_both_encodings_say_the_same(self):
        for name, vector in VECTORS.items():
            binary, text = BinaryDecoder(), JsonDecoder()
            for frame in vector["frames"]:
                with self.subTest(vector=name, frame=frame["name"]):
                    one, other = binary.decode(bytes.fromhex(frame["binary"])), text.decode(frame["json"])
                    self.assertEqual((one.number, one.sent_ns), (other.number, other.sent_ns))
                    self.assertEqual([comparable(record) for record in one.records], [comparable(record) for record in other.records])

    def test_each_leaves_its_view(self):
        for name, vector in VECTORS.items():
            frames = vector["frames"]
            decoded = {
                "binary": map(BinaryDecoder().decode, (bytes.fromhex(frame["binary"]) for frame in frames)),
                "json": map(JsonDecoder().decode, (frame["json"] for frame in frames)),
            }
            for encoding, found in decoded.items():
                with self.subTest(vector=name, encoding=encoding):
                    tracker, expected = Tracker(), vector["view"]
                    for frame in found:
                        tracker.apply(frame)
                    self.assertEqual(tracker.errors, [])
                    topic = tracker.topics[expected["topic"]]
                    self.assertEqual(topic.sequence, expected["sequence"])
                    self.assertEqual(topic.view.hash(topic.sequence), expected["hash"])

    def test_a_frame_that_is_cut_off_is_refused_or_shorter(self):
        for vector in VECTORS.values():
            whole = bytes.fromhex(vector["frames"][0]["binary"])
            for length in range(len(whole)):
                try:
                    records = BinaryDecoder().decode(whole[:length]).records
                except DecodeError:
                    continue
                self.assertLess(len(records), len(vector["frames"][0]["json"]["data"]))


class Decimals(unittest.TestCase):
    def test_there_and_back(self):
        for text, exponent, value in (("1.5", -2, 150), ("-0.05", -2, -5), ("0", -8, 0), ("1200", 2, 12), ("61837.63", -2, 6183763)):
            self.assertEqual((mantissa(text, exponent), plain(value, exponent)), (value, text))

    def test_what_does_not_fit(self):
        for text, exponent in (("1.55", -1), ("150", 2), ("", 0), ("1.", 0), ("1e5", 0), (".5", -1), ("-", 0), (1.5, -1)):
            with self.assertRaises(DecodeError):
                mantissa(text, exponent)


def comparable(record):
    """Times as whole units of the topic: binary frames cut them. Bodies of records that this client does not know are not compared."""
    unit = 10 ** (9 + record.meta.time_exponent)
    time = None if record.time_ns is None else record.time_ns // unit
    known = record.kind.split(" ")[0] not in ("unknown", "greeks")
    return record.kind if known else "unknown", record.meta, record.flags, record.sequence, time, record.body if known else None


if __name__ == "__main__":
    unittest.main()

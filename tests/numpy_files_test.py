"""Files that NumPy writes, in every form it knows, are read bit for bit; NumPy reads what we write."""

import io
import os
import pathlib
import struct
import subprocess
import zipfile

import numpy as np
import pytest

DUMP = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"]) / "tests" / "npz_dump"
RANDOM = np.random.default_rng(5)


def dump(*paths):
    """What softreg reads, as npz_dump prints it; its messages go into the exception."""
    done = subprocess.run([DUMP, *paths], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ValueError(f"{done.returncode}: {done.stderr}")
    return done.stdout.splitlines()


def expected_line(name, array):
    """The line that npz_dump must print for `array`, from NumPy's view of it."""
    kind = {"f": f"float{array.itemsize * 8}", "i": f"int{array.itemsize * 8}", "U": "str",
            "S": "bytes"}[array.dtype.kind]
    # NumPy writes Fortran order only where it differs from C order.
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    words = [name, kind, order, str(array.shape)]
    for value in array.ravel(order="C").tolist():
        if isinstance(value, float):
            words.append(struct.pack(">d", value).hex())
        elif isinstance(value, int):
            words.append(str(value))
        else:
            words.append("x" + (value if isinstance(value, bytes) else value.encode()).hex())
    return " ".join(words)


def arrays():
    """One array of every dtype, byte order, memory order and rank that softreg reads."""
    shapes = [(), (0,), (1,), (5,), (3, 4), (4, 1), (0, 3), (2, 3, 4), (33, 2, 35), (2, 1, 3, 2)]
    found = {}
    for dtype in ["<f4", ">f4", "<f8", ">f8", "<i4", ">i4", "<i8", ">i8"]:
        for shape in shapes:
            if dtype[1] == "f":
                values = RANDOM.standard_normal(shape) * 10.0 ** RANDOM.integers(-30, 30, shape)
            else:
                info = np.iinfo(dtype)
                values = RANDOM.integers(info.min, info.max, shape, dtype=dtype[1:], endpoint=True)
            values = np.asarray(values).astype(dtype)
            name = f"{dtype[0] == '<' and 'l' or 'b'}{dtype[1:]}_{'x'.join(map(str, shape))}"
            found[name] = values
            found[name + "_fortran"] = np.asfortranarray(values)
            found[name + "_strided"] = values[::-1] if values.ndim else values
    special = [0.0, -0.0, np.inf, -np.inf, 5e-324, np.finfo("f8").max]
    found["special"] = np.array(special)
    found["text"] = np.array('{"steps": 7, "name": "é"}')
    found["group"] = np.array(["a", "", "naïve", "\U0001f600b"])
    found["group_big_endian"] = found["group"].astype(found["group"].dtype.newbyteorder(">"))
    found["no_groups"] = np.array([], dtype=str)
    found["bytes"] = np.array([b"a", b"", b"bcd"])
    return found


def check(path, wanted):
    lines = dump(path)
    assert [line.split(" ")[0] for line in lines] == list(wanted)
    for line, (name, array) in zip(lines, wanted.items()):
        assert line == expected_line(name, array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_array(tmp_path, save):
    wanted = arrays()
    save(tmp_path / "a.npz", **wanted)
    check(tmp_path / "a.npz", wanted)
    print(f"[count] arrays written by {save.__name__}: {len(wanted)}")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_arrays(tmp_path, save):
    """Larger than the chunks of the reader, at odd offsets in the file."""
    wanted = {"pad": RANDOM.standard_normal(3), "a": RANDOM.standard_normal((400, 17, 31)),
              "f": np.asfortranarray(RANDOM.standard_normal((17, 31, 400)).astype("f4"))}
    save(tmp_path / "a.npz", **wanted)
    check(tmp_path / "a.npz", wanted)


def test_numpy_reads_what_we_write(tmp_path):
    wanted = arrays()
    np.savez(tmp_path / "a.npz", **wanted)
    dump(tmp_path / "a.npz", tmp_path / "copy.npz")
    with np.load(tmp_path / "copy.npz", allow_pickle=False) as copy:
        assert copy.files == list(wanted)
        for name, array in wanted.items():
            if array.dtype.kind == "S":  # strings are written as str
                array = array.astype(str)
            assert copy[name].dtype == array.dtype.newbyteorder("="), name
            assert copy[name].shape == array.shape, name
            assert copy[name].flags.c_contiguous, name
            assert np.array_equal(copy[name], array), name
        assert copy["text"].item() == wanted["text"].item()
    assert zipfile.ZipFile(tmp_path / "copy.npz").testzip() is None


def test_empty_archive(tmp_path):
    np.savez(tmp_path / "a.npz")
    assert dump(tmp_path / "a.npz") == []


def test_nan_bits(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([np.nan]))
    assert dump(tmp_path / "a.npz") == ["a float64 C (1,) 7ff8000000000000"]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("zip64", [False, True])
def test_versions_methods_and_zip64(tmp_path, version, method, zip64):
    wanted = {"a": RANDOM.standard_normal((3, 5)), "f": np.asfortranarray(np.ones((4, 2)))}
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        for name, array in wanted.items():
            with archive.open(name + ".npy", "w", force_zip64=zip64) as member:
                np.lib.format.write_array(member, array, version=version)
    check(tmp_path / "a.npz", wanted)


def test_zip64_directory(tmp_path, monkeypatch):
    """As zipfile writes archives beyond 4 GiB, with the limit lowered."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    wanted = {"a": RANDOM.standard_normal((30, 5)), "b": RANDOM.standard_normal(40)}
    np.savez(tmp_path / "a.npz", **wanted)
    assert b"PK\x06\x06" in (tmp_path / "a.npz").read_bytes()
    check(tmp_path / "a.npz", wanted)


def test_written_to_a_pipe(tmp_path):
    """Sizes then follow the contents instead of preceding them."""

    class Pipe(io.RawIOBase):
        def __init__(self, file):
            self.file = file

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

    wanted = {"a": RANDOM.standard_normal((3, 5)), "b": RANDOM.standard_normal(4)}
    for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
        with open(tmp_path / "a.npz", "wb") as file, \
                zipfile.ZipFile(Pipe(file), "w", method) as archive:
            for name, array in wanted.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array)
        check(tmp_path / "a.npz", wanted)


def test_many_members(tmp_path):
    """65,535 members need no zip64, 65,536 do."""
    for count in [65535, 65536]:
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            for i in range(count - 1):
                archive.writestr(f"{i}.txt", b"")
            with archive.open("a.npy", "w") as member:
                np.lib.format.write_array(member, np.arange(3.0))
        check(tmp_path / "a.npz", {"a": np.arange(3.0)})


@pytest.mark.parametrize("array, sentence", [
    (np.array([{}], dtype=object), "holds Python objects, which only pickle can read"),
    (np.array([(1, 2.0)], dtype="i4,f4"), "has a structured dtype"),
    (np.array([1 + 2j]), "has dtype '<c16'"),
    (np.array([True]), "has dtype '|b1'"),
    (np.array([1], dtype="f2"), "has dtype '<f2'"),
    (np.array([1], dtype="u1"), "has dtype '|u1'"),
    (np.array(["2020-01-01"], dtype="M8[D]"), "has dtype '<M8[D]'"),
])
def test_refused(tmp_path, array, sentence):
    np.savez(tmp_path / "a.npz", a=array)
    with pytest.raises(ValueError, match="^4: ") as error:
        dump(tmp_path / "a.npz")
    assert sentence in str(error.value)


def test_plain_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(ValueError, match="^4: .* is an .npy file, not an .npz"):
        dump(tmp_path / "a.npy")

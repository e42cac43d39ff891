"""No weak symbol of an object that is compiled for one instruction set exists in another object of
the library: the linker keeps one copy of such a symbol for all, and a copy for AVX-512 would crash
an older processor."""
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
COMPILER = os.environ["SOFTREG_CXX"]
VAGUE = "WVu"  # weak function, weak object, unique object


def symbols(paths):
    """Defined symbols of object files: name -> nm's type letter."""
    out = subprocess.run(["nm", "-P", "-A", "--defined-only", *paths], capture_output=True, text=True, check=True)
    return {words[1]: words[2] for words in map(str.split, out.stdout.splitlines())}


def shared_weak_symbols(isa_objects, other_objects):
    """isa_objects: per instruction set the objects compiled for it, which may share among themselves."""
    tables = {isa: symbols(paths) for isa, paths in isa_objects.items()}
    others = symbols(other_objects)
    found = []
    for isa, table in tables.items():
        for name, kind in table.items():
            if kind in VAGUE:
                found += [f"{name} of {isa} is also in {other}"
                          for other in tables if other != isa and name in tables[other]]
                found += [f"{name} of {isa} is also in other objects"] * (name in others)
    return found


def test_isa_objects_share_no_weak_symbol():
    isa_objects = {path.name: sorted(path.glob("**/*.o")) for path in BUILD.glob("CMakeFiles/softreg_x86_64*.dir")}
    machine = os.uname().machine
    assert len(isa_objects) == (3 if machine == "x86_64" else 1), f"{list(isa_objects)} on {machine}"
    other_objects = sorted([*BUILD.glob("CMakeFiles/softreg.dir/**/*.o"),
                            *BUILD.glob("CMakeFiles/softreg_cuda.dir/**/*.o")])
    assert other_objects
    assert shared_weak_symbols(isa_objects, other_objects) == []
    for isa, paths in sorted(isa_objects.items()):
        own = symbols(paths)
        weak = sum(kind in VAGUE for kind in own.values())
        assert len(paths) > 1 and own
        print(f"[count] {isa}: {len(paths)} objects, {len(own)} symbols, {weak} weak, 0 shared")


def test_shared_template_is_seen(tmp_path):
    objects = []
    for isa in ("x86_64_v3", "x86_64_v4"):
        source = tmp_path / f"{isa}.cpp"
        source.write_text("#include <vector>\n"
                          f"void {isa}(std::vector<float>& v);\n"
                          f"void {isa}(std::vector<float>& v) {{ v.push_back(1.0f); }}\n")
        objects.append(source.with_suffix(".o"))
        subprocess.run([COMPILER, "-std=c++20", "-O0", "-c", source, "-o", objects[-1]], check=True)
    assert any("vector" in sentence for sentence in shared_weak_symbols({"x86_64_v3": objects[:1]}, objects[1:]))

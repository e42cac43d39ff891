"""No weak symbol of an object that is compiled for one instruction set exists in another object of
the library: the linker keeps one copy of such a symbol for all, and a copy for AVX-512 would crash
an older processor."""
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ["SOFTREG_BUILD_DIR"])
COMPILER = os.environ["SOFTREG_CXX"]
VAGUE = "WVu"  # weak function, weak object, unique object


def symbols(path):
    """Defined symbols of an object file: name -> nm's type letter."""
    out = subprocess.run(["nm", "-P", "--defined-only", path], capture_output=True, text=True, check=True)
    return {line.split()[0]: line.split()[1] for line in out.stdout.splitlines()}


def shared_weak_symbols(isa_objects, other_objects):
    tables = {path: symbols(path) for path in [*isa_objects, *other_objects]}
    found = []
    for path in isa_objects:
        for name, kind in tables[path].items():
            if kind in VAGUE:
                found += [f"{name} of {path.parent.parent.name} is also in {other}"
                          for other in tables if other != path and name in tables[other]]
    return found


def test_isa_objects_share_no_weak_symbol():
    isa_objects = sorted(BUILD.glob("CMakeFiles/softreg_x86_64*.dir/src/cpu_lanes.cpp.o"))
    machine = os.uname().machine
    assert len(isa_objects) == (3 if machine == "x86_64" else 1), f"{isa_objects} on {machine}"
    other_objects = sorted([*BUILD.glob("CMakeFiles/softreg.dir/**/*.o"),
                            *BUILD.glob("CMakeFiles/softreg_cuda.dir/**/*.o")])
    assert other_objects
    assert shared_weak_symbols(isa_objects, other_objects) == []
    for path in isa_objects:
        own = symbols(path)
        weak = sum(kind in VAGUE for kind in own.values())
        assert own
        print(f"[count] {path.parent.parent.name}: {len(own)} symbols, {weak} weak, 0 shared")


def test_shared_template_is_seen(tmp_path):
    objects = []
    for isa in ("x86_64_v3", "x86_64_v4"):
        source = tmp_path / f"{isa}.cpp"
        source.write_text("#include <vector>\n"
                          f"void {isa}(std::vector<float>& v);\n"
                          f"void {isa}(std::vector<float>& v) {{ v.push_back(1.0f); }}\n")
        objects.append(source.with_suffix(".o"))
        subprocess.run([COMPILER, "-std=c++20", "-O0", "-c", source, "-o", objects[-1]], check=True)
    assert any("vector" in sentence for sentence in shared_weak_symbols(objects[:1], objects[1:]))

"""sm_90a machine code as nvdisasm prints it: a kernel becomes basic blocks, their control-flow graph and its
loops. A block is named by its first address."""
import collections
import functools
import heapq
import pathlib
import re
import shutil
import subprocess
import sysconfig
import tempfile

LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+) )?([A-Z][\w.]*)\s*([^;]*);")
STORES = {"ST", "STG", "STS", "STL", "RED", "ATOMS"}
JUMPS = {"BRA", "JMP"}
ENDS = JUMPS | {"EXIT", "RET", "BRX", "BRXU", "JMX", "JMXU", "KILL"}  # BSYNC, BREAK, WARPSYNC, CALL fall through


def tool(name):
    in_venv = sorted(pathlib.Path(sysconfig.get_path("purelib")).glob(f"nvidia/cu*/bin/{name}"))
    path = shutil.which(name) or (in_venv and str(in_venv[-1]))
    assert path, f"no {name} on PATH or in this Python's packages (sh cmake/bootstrap.sh test installs it)"
    return path


def cubins(path, folder):
    """The device code of an object or library, as files in a folder."""
    if path.suffix == ".cubin":
        return [path]
    subprocess.run([tool("cuobjdump"), "-xelf", "all", path.resolve()], cwd=folder, capture_output=True, check=True)
    return sorted(pathlib.Path(folder).glob("*.cubin"))


def numbered(section):
    """The code of a section, with addresses in place of labels, as a target of a jump is read here."""
    labels, waiting, lines = {}, [], section.split("\n")
    for line in lines:
        if line.endswith(":"):
            waiting.append(line[:-1])
        elif waiting and (found := LINE.search(line)):
            labels |= dict.fromkeys(waiting, f"0x{found.group(1).lstrip('0') or '0'}")
            waiting = []
    return re.sub(r"`\(([^)]+)\)", lambda match: labels.get(match.group(1), match.group(0)), section)


def kernels(path, wanted=lambda name: True):
    """(demangled name, its code as text) of the kernels in an object or library whose name is wanted: nothing else
    is disassembled."""
    def told(*command, **options):
        return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout
    with tempfile.TemporaryDirectory() as folder:
        for cubin in cubins(pathlib.Path(path), folder):
            table = told("readelf", "--symbols", "--wide", cubin)
            symbols = re.findall(r"^\s*(\d+): .* FUNC .* ([^$\s]\S*)$", table, flags=re.M)  # $...: called by them
            names = told("c++filt", input="\n".join(name for _, name in symbols)).split("\n")
            chosen = {name: full for (_, name), full in zip(symbols, names) if wanted(full)}
            if not chosen:
                continue
            indices = ",".join(index for index, name in symbols if name in chosen)
            text = told(tool("nvdisasm"), "-c", "-raw", "-fun", indices, cubin)
            parts = re.split(r"\n//-+ \.text\.(\S+) -+\n", text)[1:]
            yield from ((chosen[name], numbered(code)) for name, code in zip(parts[::2], parts[1::2]) if name in chosen)


# The register and the predicates that an instruction writes: `R1`, `R1, P0, P1`, `P0, P1` or `P0, R1`.
REGISTER, PREDICATE, NEXT = r"U?R[\dZ]+(?=,|$)", r"U?P[\dT](?=,|$)", r",\s*"
WRITTEN = re.compile(f"{REGISTER}(?:{NEXT}{PREDICATE}){{0,2}}|{PREDICATE}{NEXT}{REGISTER}|"
                     f"{PREDICATE}(?:{NEXT}{PREDICATE})?")


class Instruction:
    def __init__(self, address, guard, opcode, operands):
        self.address, self.guard, self.opcode = int(address, 16), guard or "", opcode
        self.base = opcode.split(".")[0]
        self.text = operands.strip()
        self.writes = self._writes()

    @functools.cached_property
    def operands(self):
        return [part.strip() for part in self.text.replace(".reuse", "").split(",")]

    @functools.cached_property
    def target(self):
        found = re.search(r"\b0x([0-9a-f]+)$", self.text)
        return int(found.group(1), 16) if found else None

    def is_conditional(self):
        return bool(self.guard) or ".DIV" in self.opcode or re.match(r"!?U?P\d", self.text) is not None

    def _writes(self):
        found = None if self.base in STORES | ENDS else WRITTEN.match(self.text)
        return written(self.opcode, found.group()) if found else frozenset()


@functools.lru_cache(maxsize=None)
def written(opcode, operands):
    """What an instruction writes, of the operands that name it: with the registers after them that are written too.
    (A double is known by its first.)"""
    wide = re.search(r"\.(64|128)\b", opcode) if opcode.startswith("LD") else None
    pair = opcode.split(".")[0] == "CS2R" and ".32" not in opcode or opcode.startswith("IMAD.WIDE")
    count = int(wide.group(1)) // 32 if wide else 2 if pair else 1
    named = re.split(NEXT, operands)
    beside = {f"R{int(name[1:]) + k}" for name in named if re.fullmatch(r"R\d+", name) for k in range(1, count)}
    return frozenset(named) | beside


class Function:
    def __init__(self, text):
        self.code = [Instruction(*found) for found in LINE.findall(text)]
        self.blocks = self._cut()
        # of a register or predicate: block -> where it is written, the last first
        self.writers = collections.defaultdict(lambda: collections.defaultdict(list))
        for block, code in self.blocks.items():
            for k in range(len(code) - 1, -1, -1):
                for name in code[k].writes:
                    self.writers[name][block].append(k)
        self.successors = self._connect()
        self.predecessors = collections.defaultdict(list)
        for block, onward in self.successors.items():
            for target in onward:
                self.predecessors[target].append(block)
        self._found = {}
        self.loops, self.back = {}, set()  # header -> its blocks; (from, header)
        self._find_loops()

    def _cut(self):
        addresses = {i.address for i in self.code}
        starts = {i.target for i in self.code if i.base in JUMPS | {"CALL"}} & addresses
        blocks, first = {}, self.code[0].address
        for i in self.code:
            first = i.address if i.address in starts else first
            blocks.setdefault(first, []).append(i)
            if i.base in ENDS:
                first = i.address + 16
        return blocks

    def _connect(self):
        following = dict(zip(self.blocks, list(self.blocks)[1:]))
        successors = {}
        for block, code in self.blocks.items():
            last = code[-1]
            onward = [last.target] if last.base in JUMPS and last.target in self.blocks else []
            if (last.base not in ENDS or last.is_conditional()) and block in following:
                onward.append(following[block])
            successors[block] = onward
        return successors

    def _postorder(self):
        order, seen = [], {self.code[0].address}
        stack = [(self.code[0].address, iter(self.successors[self.code[0].address]))]
        while stack:
            block, rest = stack[-1]
            onward = next((target for target in rest if target not in seen), None)
            if onward is None:
                order.append(stack.pop()[0])
            else:
                seen.add(onward)
                stack.append((onward, iter(self.successors[onward])))
        return order

    def _find_loops(self):
        """Natural loops, by immediate dominators (Cooper, Harvey and Kennedy)."""
        order = self._postorder()[::-1]
        number = {block: k for k, block in enumerate(order)}
        above = {order[0]: order[0]}

        def meet(a, b):
            while a != b:
                a, b = (above[a], b) if number[a] > number[b] else (a, above[b])
            return a
        changed = True
        while changed:
            changed = False
            for block in order[1:]:
                found = functools.reduce(meet, [b for b in self.predecessors[block] if b in above])
                changed |= above.get(block) != found
                above[block] = found
        for block in order:
            for header in self.successors[block]:
                if meet(header, block) == header:
                    self.back.add((block, header))
                    body, stack = self.loops.setdefault(header, {header}), [block]
                    while stack:
                        inside = stack.pop()
                        if inside not in body:
                            body.add(inside)
                            stack += [b for b in self.predecessors[inside] if b in number]

    def definitions(self, *place):
        """(block, index) of what writes a register or predicate and reaches instruction k of a block: asked often."""
        if place not in self._found:
            self._found[place] = self.such_definitions(*place)
        return self._found[place]

    def such_definitions(self, block, k, name, such=None):
        """The same of what is `such` alone: what is not is passed over."""
        found, seen, stack, here = [], set(), [block], self.writers[name]
        before = k  # in the block itself; of a block on the way here, all of it
        while stack:
            block = stack.pop()
            for j in here[block] if block in here else ():
                if (before is None or j < before) and (such is None or such(self.blocks[block][j])):
                    found.append((block, j))
                    if not self.blocks[block][j].guard:
                        break
            else:
                for onward in self.predecessors[block]:
                    if onward not in seen:
                        seen.add(onward)
                        stack.append(onward)
            before = None
        return found

    @functools.cached_property
    def _returns(self):
        return {}

    def call(self, entry):
        """What a call executes at least: the blocks of the shortest way to a RET."""
        if entry not in self._returns:
            heap, done = [(0, entry, ())], set()
            while heap:
                cost, block, path = heapq.heappop(heap)
                if block in done:
                    continue
                done.add(block)
                path += (block,)
                if self.blocks[block][-1].base == "RET":
                    self._returns[entry] = path
                    break
                for onward in self.successors[block]:
                    heapq.heappush(heap, (cost + len(self.blocks[block]), onward, path))
        return self._returns[entry]

/**
 * The image of the infra container, made from nothing: one static program of a few hundred bytes that moves itself into a new
 * network namespace (not when it is given an argument: pods on the host's network), lets the kernel reap whatever is
 * orphaned under it, and sleeps. That the program itself makes the namespace, instead of the engine's "none" network, takes
 * a tenth of a second off the start of each pod: see docs/decisions/pod-network.md.
 */

export type InfraArch = 'x64' | 'arm64';

const loadAddress = 0x400000n;
const headerBytes = 64 + 56; // ELF header and one program header

/** Where the struct sigaction for SIGCHLD begins: SIG_IGN, no flags, no restorer, empty mask. */
const sigactionBytes = 32;
const sigIgnore = 1;

/** x86-64. Exits 1 where it may not make a namespace (the container must have CAP_SYS_ADMIN). */
function codeX64(dataAddress: number): Buffer {
  const address = Buffer.alloc(4);
  address.writeUInt32LE(dataAddress);
  return Buffer.concat([
    Buffer.from([0x83, 0x3c, 0x24, 0x01, 0x75, 0x10]), // cmp dword [rsp], 1 (argc); jne reap
    Buffer.from([0xbf, 0x00, 0x00, 0x00, 0x40]), // mov edi, CLONE_NEWNET
    Buffer.from([0xb8, 0x10, 0x01, 0x00, 0x00, 0x0f, 0x05]), // mov eax, 272 (unshare); syscall
    Buffer.from([0x85, 0xc0, 0x75, 0x22]), // test eax, eax; jnz exit
    Buffer.from([0xbf, 0x11, 0x00, 0x00, 0x00]), // reap: mov edi, SIGCHLD
    Buffer.concat([Buffer.from([0xbe]), address]), // mov esi, sigaction
    Buffer.from([0x31, 0xd2, 0x41, 0xba, 0x08, 0x00, 0x00, 0x00]), // xor edx, edx; mov r10d, 8
    Buffer.from([0xb8, 0x0d, 0x00, 0x00, 0x00, 0x0f, 0x05]), // mov eax, 13 (rt_sigaction); syscall
    Buffer.from([0xb8, 0x22, 0x00, 0x00, 0x00, 0x0f, 0x05]), // sleep: mov eax, 34 (pause); syscall
    Buffer.from([0xeb, 0xf7]), // jmp sleep
    Buffer.from([0xbf, 0x01, 0x00, 0x00, 0x00]), // exit: mov edi, 1
    Buffer.from([0xb8, 0x3c, 0x00, 0x00, 0x00, 0x0f, 0x05]), // mov eax, 60 (exit); syscall
  ]);
}

/** cbnz x0, so many instructions ahead. */
const branchIfSet = (ahead: number): number => 0xb5000000 | (ahead << 5);

/** The same for arm64, which has no pause: ppoll without a time-out. */
function codeArm64(dataAddress: number): Buffer {
  const codeStart = Number(loadAddress) + headerBytes;
  const words: number[] = [];
  const set = (register: number, value: number): void => void words.push(0xd2800000 | (value << 5) | register);
  const call = (number: number): void => {
    set(8, number);
    words.push(0xd4000001); // svc #0
  };
  words.push(0xf94003e0); // ldr x0, [sp]: argc
  words.push(0xd1000400); // sub x0, x0, #1
  const skip = words.push(0) - 1; // cbnz x0, reap
  words.push(0xd2a80000); // movz x0, #0x4000, lsl #16: CLONE_NEWNET
  call(97); // unshare
  const branch = words.push(0) - 1; // cbnz x0, exit
  words[skip] = branchIfSet(words.length - skip);
  set(0, 17); // SIGCHLD
  const offset = dataAddress - (codeStart + words.length * 4);
  words.push(0x10000001 | ((offset & 3) << 29) | (((offset >> 2) & 0x7ffff) << 5)); // adr x1, sigaction
  set(2, 0);
  set(3, 8);
  call(134); // rt_sigaction
  const sleep = words.length;
  for (const register of [0, 1, 2, 3, 4]) set(register, 0);
  call(73); // ppoll
  words.push(0x14000000 | ((sleep - words.length) & 0x3ffffff)); // b sleep
  words[branch] = branchIfSet(words.length - branch);
  set(0, 1);
  call(93); // exit
  const code = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => code.writeUInt32LE(word >>> 0, index * 4));
  return code;
}

/** The program as an ELF file: header, one loadable segment, code, data. */
export function infraProgram(arch: InfraArch): Buffer {
  const assemble = arch === 'x64' ? codeX64 : codeArm64;
  const codeBytes = Math.ceil(assemble(0).length / 8) * 8;
  const code = Buffer.alloc(codeBytes);
  assemble(Number(loadAddress) + headerBytes + codeBytes).copy(code);
  const data = Buffer.alloc(sigactionBytes);
  data.writeUInt32LE(sigIgnore, 0);
  const total = BigInt(headerBytes + code.length + data.length);

  const header = Buffer.alloc(headerBytes);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(header); // ELF, 64 bit, little endian
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(arch === 'x64' ? 62 : 183, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(loadAddress + BigInt(headerBytes), 24); // entry
  header.writeBigUInt64LE(64n, 32); // program header
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); // PT_LOAD
  header.writeUInt32LE(5, 68); // read and execute
  header.writeBigUInt64LE(0n, 72);
  header.writeBigUInt64LE(loadAddress, 80);
  header.writeBigUInt64LE(loadAddress, 88);
  header.writeBigUInt64LE(total, 96);
  header.writeBigUInt64LE(total, 104);
  header.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([header, code, data]);
}

export const infraImageName = 'troupe/infra:1';
/** The program's place in the image, and so the container's command. */
export const infraCommand = '/infra';

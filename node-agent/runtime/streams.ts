/** What people and programs do inside a running container. Part of ContainerRuntime; methods reject with RuntimeError. */
export interface RuntimeStreams {
  /**
   * Starts a command inside a running container. NotFound, NotRunning. When `signal` aborts, the command is ended: by SIGHUP with a
   * terminal and SIGTERM without, then by SIGKILL after 5 s.
   */
  startProcess(id: string, wish: ProcessWish, signal: AbortSignal): Promise<RuntimeProcess>;

  /**
   * Ends the commands that `startProcess` of an earlier process of ours has left in a container, of which nobody hears any more. Resolves to how
   * many there were; what others have started inside is not touched.
   */
  endLeftProcesses(id: string): Promise<number>;

  /** The input and output of the container's own first process from now on. NotFound, NotRunning. Aborting lets go; the container runs on. */
  attach(id: string, wish: { readonly stdin: boolean }, signal: AbortSignal): Promise<RuntimeProcess>;

  /**
   * A file or folder of a container, running or not, as a tar whose first entry has the name of the last part of the path. A path that is a
   * link gives what it leads to. NotFound, NoSuchFile.
   */
  readFiles(id: string, path: string, signal: AbortSignal): Promise<RuntimeFiles>;

  /**
   * Unpacks a tar into a folder of a container, running or not; owners, modes and times are those of the tar. Resolves when all is written.
   * NotFound, NoSuchFile (no such folder), ReadOnly, and BadTar for what is none.
   */
  writeFiles(id: string, folder: string, tar: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
}

export interface ProcessWish {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

export interface RuntimeProcess {
  /** Whether it has a terminal: then all output is `stdout`. */
  readonly tty: boolean;
  /** What it prints, as it comes; ends with it. Nothing more is read from the engine than is taken here. One reader. */
  readonly output: AsyncIterable<OutputPiece>;
  /** Gives it input; resolves when it takes more. What has ended takes everything and forgets it. */
  write(data: Uint8Array): Promise<void>;
  /** No more input comes. A container that goes on reading from others is let go of, once it has printed nothing for a second. */
  endInput(): void;
  /** Tells its terminal the size; does nothing without one. */
  resize(columns: number, rows: number): Promise<void>;
  /** After `output` has ended: its exit code, or undefined for a container that runs on. */
  exitCode(): Promise<number | undefined>;
}

export interface OutputPiece {
  readonly channel: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export interface RuntimeFiles {
  readonly name: string;
  /** Of a file; what a folder holds is not known before. */
  readonly sizeBytes: number;
  readonly isFolder: boolean;
  /** Nothing more is read from the engine than is taken here. */
  readonly tar: AsyncIterable<Uint8Array>;
}

import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../lib/base/config.ts';
import { messageOf } from '../lib/base/errors.ts';
import { runService } from '../lib/base/lifecycle.ts';
import { raisePriority } from '../lib/base/priority.ts';
import { connectBus } from '../lib/bus/nats-bus.ts';
import { newClient } from '../lib/client/grpc-client.ts';
import { newRecorder } from '../lib/controller/events.ts';
import type { Pod } from '../lib/api/objects.ts';
import { newView, newViews } from '../lib/view/views.ts';
import { newAgent } from './agent.ts';
import { openCgroups } from './cgroups/node-cgroups.ts';
import { agentOptions } from './config.ts';
import { disksOfNode, startDiskKeeper } from './disks/disk-keeper.ts';
import { newDisks } from './disks/disks.ts';
import { newVethNetwork } from './network/veth-network.ts';
import { watchNode } from './eviction/node-watches.ts';
import { readRooms } from './eviction/rooms.ts';
import { parseThresholds } from './eviction/thresholds.ts';
import { ImageKeeper } from './images/image-keeper.ts';
import { NodeImages } from './images/node-images.ts';
import { parseReserved } from './node/allocatable.ts';
import { parseResources } from './node/declared.ts';
import { defaultHostIp, machineOf } from './node/machine.ts';
import { RoomTeller } from './node/room-teller.ts';
import { newDiskStorage } from './pod-storage.ts';
import { newDockerRuntime } from './runtime/docker-runtime.ts';
import { lateHostnameRuntime } from './runtime/late-hostname.ts';
import { engineInfo } from './runtime/engine-info.ts';
import { startStats } from './stats/stats.ts';
import { teardown } from './teardown.ts';
import { newExitWatch } from './withdrawal/exit-watch.ts';
import { newVolumeDrivers } from './volumes/drivers.ts';
import { newMemoryFiles } from './volumes/memory-files.ts';
import { parseHostPaths } from './volumes/host-path.ts';

runService('node-agent', agentOptions, async (context) => {
  const { config, log, clock, signal, telemetry } = context;
  const { nodeName, cluster, data } = config;
  if (config.imageGcLow >= config.imageGcHigh)
    throw new ConfigError(
      `--image-gc-low is ${config.imageGcLow}, --image-gc-high is ${config.imageGcHigh}: the first must be the smaller`,
    );
  mkdirSync(data, { recursive: true });
  const { meter, tracer } = telemetry;
  const runtime = newDockerRuntime({
    ...{ socketPath: config.dockerSocket, cluster, node: nodeName, clock },
    infraImage: config.infraImage,
  });
  const network = newVethNetwork({
    ...{ clusterCidr: config.clusterCidr, serviceCidr: config.serviceCidr, owner: `${cluster}/${nodeName}`, log },
    table: config.nftTable === '' ? `troupe_node_${cluster.replace(/[^A-Za-z0-9_]/g, '_')}` : config.nftTable,
  });
  const disks = newDisks(data);
  let podsHere = (): readonly Pod[] => [];
  const hostPaths = parseHostPaths(config.hostPaths);
  const memory = newMemoryFiles(data);
  const drivers = newVolumeDrivers({ hostPaths, nodeName, disks, memory, podsHere: () => podsHere() });
  const storage = newDiskStorage(data, drivers, memory);
  if (config.teardown) {
    const cgroups = await openCgroups(await runtime.info(), {
      cluster,
      name: nodeName,
      limits: { cpuShares: 1024 },
      log,
    });
    await teardown({ runtime, network, storage, disks, memory, cgroups, log, graceSeconds: config.teardownGrace });
    context.done();
    return;
  }
  raisePriority();

  // Before the first pod needs it; should it fail, that pod tries again and says why.
  void memory.mount().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'the memory for the files of pods could not be mounted');
  });

  const client = newClient({ address: config.apiserver, userAgent: 'troupe-node-agent', log });
  context.onStop('client', () => client.close());
  const bus =
    config.nats.length === 0
      ? undefined
      : connectBus({ servers: config.nats, name: `troupe-node-agent-${nodeName}`, cluster, log });
  context.onStop('bus', () => bus?.close());
  const telling = new AbortController();
  const recorder = newRecorder({
    client,
    component: 'node-agent',
    host: nodeName,
    clock,
    log,
    meter,
    signal: telling.signal,
  });
  context.onStop('events', async () => {
    await recorder.flush(1_000);
    telling.abort();
  });

  const views = newViews(
    { pods: { node: nodeName }, services: {}, nodes: {} },
    { client, bus, cluster, clock, log, meter, signal },
  );
  podsHere = () => views.pods.list();
  const shared = { client, clock, log, meter, signal };
  const volumes = newView('persistentvolumes', { ...shared, bus, cluster, ...disksOfNode(nodeName) });
  void startDiskKeeper({ ...shared, node: nodeName, volumes, disks, tracer, recorder });
  const synced = views.synced();
  synced.catch(() => undefined); // the agent waits for it; it rejects when the process ends
  let isRunning: () => string | undefined = () => 'the container engine has not answered yet';
  telemetry.ready('agent', () => isRunning());

  const imagesRemoved = meter.createCounter('troupe_agent_images_removed', {
    description: 'Unused images removed to free the disk',
  });
  // The machine's capacity is the engine's to tell, so that the agent waits for it; it does not hold the start back.
  void (async () => {
    const options = { name: nodeName, dataDir: data, maxPods: config.maxPods, agentVersion: 'troupe/0.1.0' };
    const disksFolder = disks.folder;
    const declared = parseResources(config.resources);
    const reserved = parseReserved(config.systemReserved);
    const thresholds = parseThresholds(config.evictionHard);
    const hostIp = config.nodeIp === '' ? await defaultHostIp() : config.nodeIp;
    const engine = await engineInfo(runtime, { clock, log, signal });
    const machine = { ...machineOf({ ...options, hostIp, reserved, thresholds }, engine), disksFolder, declared };
    const limits = {
      cpuShares: Math.floor((machine.cpuMilli * 1024) / 1000),
      memoryBytes: Math.max(0, machine.memoryBytes - reserved.memoryBytes),
    };
    if (!engine.liveRestore)
      log.warn(
        'the engine ends all containers when it ends: start it with --live-restore, so that pods outlive its restart',
      );
    if (config.warmSandboxes > 0 && !engine.lateHostnames)
      log.info(
        { runtime: lateHostnameRuntime },
        'no sandboxes are kept in advance: the engine does not know the runtime for it',
      );
    const warm = engine.lateHostnames ? config.warmSandboxes : 0;
    const cgroups = await openCgroups(engine, { cluster, name: nodeName, limits, log });
    const nodeResolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
    const nodeHosts = await readFile('/etc/hosts', 'utf8').catch(() => '');
    // From here to the agent nothing is waited for: the watches over the node begin at once, and ask it.
    const nodeImages = new NodeImages({
      clock,
      onChange: () => {
        agent.checkNode();
      },
    });
    const images = new ImageKeeper({
      ...{ runtime, clock, log, file: join(data, 'images.json') },
      onHeld: (held) => {
        nodeImages.held(held);
      },
    });
    const roomTeller = new RoomTeller({ node: nodeName, cluster, bus, thresholds, clock });
    const watch = watchNode({
      ...{ node: nodeName, agent: () => agent, runtime, storage, cgroups, images, thresholds, clock, log, signal },
      rooms: async () => {
        const rooms = await readRooms({ dataDir: data, imageDir: engine.rootDir });
        roomTeller.saw(rooms);
        return rooms;
      },
      imageHigh: config.imageGcHigh / 100,
      imageLow: config.imageGcLow / 100,
      holdMs: config.pressureHold * 1000,
      telling: recorder,
      onImagesRemoved: (count) => {
        imagesRemoved.add(count);
      },
    });
    const agent = newAgent({
      ...{ cluster, machine, runtime, network, storage, client, bus, clock, log, meter, tracer, signal, synced },
      ...{ pods: views.pods, services: views.services, nodes: views.nodes, telling: recorder },
      ...{ pressure: watch.short, refuse: watch.refuse, images, nodeImages: () => nodeImages.list },
      dns: {
        clusterDns: config.clusterDns,
        clusterDomain: config.clusterDomain,
        nodeResolvConf,
        nodeHosts,
        nodeHostname: hostname(),
      },
      security: {
        seccompDir: config.seccompProfiles === '' ? join(data, 'seccomp') : config.seccompProfiles,
        allowedSysctls: config.allowedSysctls,
      },
      cgroups,
      maxPodPids: config.podPidsLimit,
      infraImage: config.infraImage,
      warmSandboxes: warm,
      exits: (onExit) => newExitWatch({ onExit, clock, log, signal }),
      maxParallelSteps: config.parallelSteps,
      maxParallelPulls: config.parallelPulls,
      heartbeatMs: config.heartbeat,
      streamIdleMs: config.streamIdle * 1000,
    });
    isRunning = () => agent.notReady();
    const { metrics } = startStats({
      ...{ cluster, node: nodeName, bus, clock, signal, pods: () => agent.pods() },
      intervalMs: config.statsInterval * 1000,
      dataDir: data,
      podLabels: config.metricLabels,
    });
    telemetry.expose(metrics);
    meter
      .createObservableGauge('troupe_agent_warm_sandboxes', {
        description: 'Sandboxes that are ready for pods to come',
      })
      .addCallback((result) => {
        result.observe(agent.warmCount);
      });
    meter
      .createObservableGauge('troupe_agent_pods', { description: 'Pods being looked after' })
      .addCallback((result) => {
        result.observe(agent.podCount);
      });
  })().catch((error: unknown) => {
    if (!signal.aborted) log.error({ error }, 'the agent could not start');
  });
});

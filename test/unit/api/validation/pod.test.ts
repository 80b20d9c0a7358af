import type { Json } from '../../../../lib/api/json.ts';
import { aContainer, anRc, aPod } from '../../../support/builders.ts';
import { rows, type Row } from './rows.ts';

const at = 'spec.containers[0]';

describe('api/validation: pod', () => {
  rows('pods', aPod(), [
    [{ spec: undefined }, 'spec.containers', 'Required value'],
    [{ 'spec.containers': [] }, 'spec.containers', 'Required value'],
    [{ 'spec.containers[1]': aContainer({ name: 'main' }) }, 'spec.containers[1].name', 'Duplicate value: "main"'],
    [{ 'spec.initContainers[0]': aContainer({ name: 'main' }) }, `${at}.name`, 'Duplicate value: "main"'],
    [
      { 'spec.restartPolicy': 'Sometimes' },
      'spec.restartPolicy',
      'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ],
    [{ 'spec.terminationGracePeriodSeconds': 0 }],
    [{ 'spec.terminationGracePeriodSeconds': -1 }, 'spec.terminationGracePeriodSeconds', 'greater than or equal to 0'],
    [{ 'spec.activeDeadlineSeconds': 1 }],
    [{ 'spec.activeDeadlineSeconds': 2 ** 31 - 1 }],
    [{ 'spec.activeDeadlineSeconds': 0 }, 'spec.activeDeadlineSeconds', 'between 1 and 2147483647'],
    [{ 'spec.activeDeadlineSeconds': 2 ** 31 }, 'spec.activeDeadlineSeconds', 'between 1 and 2147483647'],
    [{ 'spec.nodeSelector': { disk: 'ssd' } }],
    [{ 'spec.nodeSelector': { disk: 'a b' } }, 'spec.nodeSelector', 'a space at position 2'],
    [{ 'spec.nodeName': 'Node 1' }, 'spec.nodeName', "'N' at position 1"],
    [{ 'spec.hostname': 'a.b' }, 'spec.hostname', 'RFC 1123 label'],
    [{ 'spec.subdomain': 'a_b' }, 'spec.subdomain', 'RFC 1123 label'],
    [{ 'spec.serviceAccountName': 'A' }, 'spec.serviceAccountName', 'subdomain'],
    [{ 'spec.hostUsers': true, 'spec.os': { name: 'linux' } }],
    [{ 'spec.hostUsers': false }, 'spec.hostUsers', 'user namespaces are not supported'],
    [{ 'spec.runtimeClassName': 'kata' }, 'spec.runtimeClassName', 'RuntimeClass "kata" not found'],
    [{ 'spec.os': { name: 'windows' } }, 'spec.os.name', 'supported values: "linux"'],
    [
      { 'spec.ephemeralContainers': [aContainer({ name: 'x' })] },
      'spec.ephemeralContainers',
      'cannot be set on create',
    ],
    [{ [`${at}.lifecycle`]: { stopSignal: 'SIGUSR1' } }],
    [{ [`${at}.lifecycle`]: { stopSignal: 'TERM' } }, `${at}.lifecycle.stopSignal`, 'such as SIGUSR1'],
    [{ 'spec.imagePullSecrets': [{}] }, 'spec.imagePullSecrets[0].name', 'Required value'],
    [
      { 'spec.shareProcessNamespace': true, 'spec.hostPID': true },
      'spec.shareProcessNamespace',
      'cannot both be enabled',
    ],
    [{ 'spec.securityContext': { runAsUser: 2_147_483_647, supplementalGroups: [0] } }],
    [
      { 'spec.securityContext': { runAsUser: 2_147_483_648 } },
      'spec.securityContext.runAsUser',
      'between 0 and 2147483647',
    ],
    [
      { 'spec.securityContext': { supplementalGroups: [1, -1] } },
      'spec.securityContext.supplementalGroups[1]',
      'between 0',
    ],
    [{ 'spec.securityContext': { sysctls: [{ name: 'net.core.somaxconn', value: '1' }] } }],
    [
      {
        'spec.securityContext': {
          sysctls: [
            { name: 'a', value: '1' },
            { name: 'a', value: '2' },
          ],
        },
      },
      'spec.securityContext.sysctls[1].name',
      'Duplicate',
    ],
    [
      { 'spec.securityContext': { sysctls: [{ name: 'A b', value: '1' }] } },
      'spec.securityContext.sysctls[0].name',
      'sysctl name',
    ],
    [{ 'spec.hostAliases': [{ ip: '10.0.0.1', hostnames: ['a.b'] }] }],
    [{ 'spec.hostAliases': [{ ip: 'x' }] }, 'spec.hostAliases[0].ip', 'IPv4'],
    [{ 'spec.hostAliases': [{ ip: '10.0.0.1', hostnames: ['A'] }] }, 'spec.hostAliases[0].hostnames[0]', 'subdomain'],
    [{ 'spec.dnsPolicy': 'Mine' }, 'spec.dnsPolicy', 'Unsupported value'],
    [{ 'spec.dnsPolicy': 'None' }, 'spec.dnsConfig', 'at least one DNS nameserver'],
    [{ 'spec.dnsPolicy': 'None', 'spec.dnsConfig': {} }, 'spec.dnsConfig.nameservers', 'at least one DNS nameserver'],
    [{ 'spec.dnsPolicy': 'None', 'spec.dnsConfig': { nameservers: ['10.0.0.1'], searches: ['a.b.', '.'] } }],
    [
      { 'spec.dnsConfig': { nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4'] } },
      'spec.dnsConfig.nameservers',
      'more than 3',
    ],
    [{ 'spec.dnsConfig': { nameservers: ['x'] } }, 'spec.dnsConfig.nameservers[0]', 'IPv4'],
    [
      { 'spec.dnsConfig': { searches: Array.from({ length: 33 }, () => 'a') } },
      'spec.dnsConfig.searches',
      'more than 32',
    ],
    [{ 'spec.dnsConfig': { searches: ['A'] } }, 'spec.dnsConfig.searches[0]', 'subdomain'],
    [{ 'spec.dnsConfig': { options: [{ value: '1' }] } }, 'spec.dnsConfig.options[0].name', 'Required'],
  ]);

  const inSecurity = (
    list: readonly (readonly [value: object, below?: string, message?: string])[],
    more: Json = {},
  ): readonly Row[] =>
    list.map(
      ([value, below, message]) =>
        [
          { ...more, 'spec.securityContext': value },
          below === undefined ? undefined : `spec.securityContext.${below}`,
          message,
        ] as Row,
    );
  const sysctl = (name: string): object => ({ sysctls: [{ name, value: '1' }] });

  describe('securityContext of the pod', () => {
    rows('pods', aPod(), [
      ...inSecurity([
        [{ seccompProfile: { type: 'RuntimeDefault' }, appArmorProfile: { type: 'Unconfined' } }],
        [{ seccompProfile: { type: 'Localhost', localhostProfile: 'a/b.json' } }],
        [{ seccompProfile: {} }, 'seccompProfile.type', 'Required value'],
        [{ seccompProfile: { type: 'Mine' } }, 'seccompProfile.type', 'Unsupported value'],
        [{ seccompProfile: { type: 'Localhost' } }, 'seccompProfile.localhostProfile', 'must be set'],
        [
          { seccompProfile: { type: 'Localhost', localhostProfile: '../b' } },
          'seccompProfile.localhostProfile',
          "without '..'",
        ],
        [
          { seccompProfile: { type: 'Localhost', localhostProfile: '/b' } },
          'seccompProfile.localhostProfile',
          'must be a path below',
        ],
        [
          { appArmorProfile: { type: 'Unconfined', localhostProfile: 'b' } },
          'appArmorProfile.localhostProfile',
          'can only be set when the type is Localhost',
        ],
        [{ fsGroupChangePolicy: 'OnRootMismatch', supplementalGroupsPolicy: 'Merge' }],
        [{ fsGroupChangePolicy: 'Never' }, 'fsGroupChangePolicy', 'Unsupported value'],
        [{ supplementalGroupsPolicy: 'Never' }, 'supplementalGroupsPolicy', 'Unsupported value'],
        [
          {
            sysctls: [
              { name: 'net/a', value: '1' },
              { name: 'net.a', value: '1' },
            ],
          },
          'sysctls[1].name',
          'Duplicate',
        ],
      ]),
      ...inSecurity(
        [[sysctl('net.ipv4.tcp_rmem'), 'sysctls[0].name', '`hostNetwork` is true'], [sysctl('kernel.sem')]],
        {
          'spec.hostNetwork': true,
        },
      ),
      ...inSecurity(
        [[sysctl('kernel.shmmax'), 'sysctls[0].name', '`hostIPC` is true'], [sysctl('net.ipv4.tcp_rmem')]],
        {
          'spec.hostIPC': true,
        },
      ),
    ]);
  });

  describe('readiness gates and restart back-off', () => {
    const initial = 'troupe.dev/restart-backoff-initial';
    const max = 'troupe.dev/restart-backoff-max';
    const annotated = (annotations: object): Json => ({ 'metadata.annotations': annotations });
    rows('pods', aPod(), [
      [{ 'spec.readinessGates': [{ conditionType: 'example.com/traffic' }] }],
      [{ 'spec.readinessGates': [{}] }, 'spec.readinessGates[0].conditionType', 'Required value'],
      [{ 'spec.readinessGates': [{ conditionType: 'a b' }] }, 'spec.readinessGates[0].conditionType', 'name'],
      [annotated({ [initial]: '1s', [max]: '1m' })],
      [annotated({ [initial]: '100ms' })],
      [annotated({ 'troupe.dev/on-config-change': 'signal', 'troupe.dev/reload-signal': 'SIGUSR1' })],
      [
        annotated({ 'troupe.dev/reload-signal': 'SIGKILL' }),
        'metadata.annotations[troupe.dev/reload-signal]',
        'supported values: "SIGHUP"',
      ],
      [annotated({ [max]: '1h' })],
      [annotated({ [initial]: '99ms' }), `metadata.annotations[${initial}]`, 'from 100ms to 1h'],
      [annotated({ [initial]: '1.5s' }), `metadata.annotations[${initial}]`, 'Invalid value: "1.5s"'],
      [annotated({ [max]: '61m' }), `metadata.annotations[${max}]`, 'from 100ms to 1h'],
      [annotated({ 'troupe.dev/service-links': 'redis, db' })],
      [annotated({ 'troupe.dev/service-links': '' })],
      [
        annotated({ 'troupe.dev/service-links': 'db,Re_dis' }),
        'metadata.annotations[troupe.dev/service-links]',
        '"Re_dis"',
      ],
      [annotated({ [initial]: '10s', [max]: '5s' }), `metadata.annotations[${max}]`, 'must not be shorter than'],
    ]);
    rows('replicationcontrollers', anRc(), [
      [
        { 'spec.template.metadata.annotations': { [initial]: 'soon' } },
        `spec.template.metadata.annotations[${initial}]`,
        'must be a duration',
      ],
    ]);
  });

  describe('volumes', () => {
    const volume = (source: Json) => ({ 'spec.volumes': [{ name: 'v', ...source }] });
    rows('pods', aPod(), [
      [volume({})],
      [volume({ emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } })],
      [volume({ emptyDir: { medium: 'Disk' } }), 'spec.volumes[0].emptyDir.medium', 'Unsupported value'],
      [volume({ emptyDir: { sizeLimit: '-1' } }), 'spec.volumes[0].emptyDir.sizeLimit', 'greater than or equal to 0'],
      [volume({ emptyDir: { sizeLimit: 'x' } }), 'spec.volumes[0].emptyDir.sizeLimit', 'must be a number'],
      [volume({ hostPath: { path: '/data', type: 'DirectoryOrCreate' } })],
      [volume({ hostPath: {} }), 'spec.volumes[0].hostPath.path', 'Required value'],
      [volume({ hostPath: { path: '/a/../b' } }), 'spec.volumes[0].hostPath.path', "must not contain '..'"],
      [volume({ hostPath: { path: 'a' } }), 'spec.volumes[0].hostPath.path', 'absolute'],
      [volume({ hostPath: { path: '/a', type: 'Disk' } }), 'spec.volumes[0].hostPath.type', 'Unsupported value'],
      [volume({ nfs: { server: 's', path: '/p' } })],
      [volume({ nfs: { server: 's', path: 'p' } }), 'spec.volumes[0].nfs.path', 'absolute'],
      [volume({ nfs: { path: '/p' } }), 'spec.volumes[0].nfs.server', 'Required value'],
      [volume({ gcePersistentDisk: { pdName: 'a', partition: 255 } })],
      [
        volume({ gcePersistentDisk: { pdName: 'a', partition: 256 } }),
        'spec.volumes[0].gcePersistentDisk.partition',
        'between 0 and 255',
      ],
      [volume({ gcePersistentDisk: {} }), 'spec.volumes[0].gcePersistentDisk.pdName', 'Required value'],
      [volume({ configMap: { name: 'a', items: [{ key: 'k', path: 'a/b', mode: 0o777 }] } })],
      [volume({ configMap: {} }), 'spec.volumes[0].configMap.name', 'Required value'],
      [volume({ configMap: { name: 'a', defaultMode: 0o1000 } }), 'spec.volumes[0].configMap.defaultMode', '0777'],
      [
        volume({ configMap: { name: 'a', items: [{ key: 'k', path: '/a' }] } }),
        'spec.volumes[0].configMap.items[0].path',
        'relative',
      ],
      [
        volume({ secret: { secretName: 'a', items: [{ key: 'k', path: '../a' }] } }),
        'spec.volumes[0].secret.items[0].path',
        "'..'",
      ],
      [
        volume({ secret: { secretName: 'a', items: [{ path: 'a' }] } }),
        'spec.volumes[0].secret.items[0].key',
        'Required value',
      ],
      [volume({ secret: {} }), 'spec.volumes[0].secret.secretName', 'Required value'],
      [volume({ persistentVolumeClaim: { claimName: 'a' } })],
      [volume({ persistentVolumeClaim: {} }), 'spec.volumes[0].persistentVolumeClaim.claimName', 'Required value'],
      [volume({ downwardAPI: { items: [{ path: 'a', fieldRef: { fieldPath: 'metadata.labels' } }] } })],
      [
        volume({ downwardAPI: { items: [{ path: 'a', fieldRef: { fieldPath: 'status.podIP' } }] } }),
        'spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath',
        'Unsupported value',
      ],
      [
        volume({ downwardAPI: { items: [{ path: 'a' }] } }),
        'spec.volumes[0].downwardAPI.items[0].fieldRef',
        'Required value',
      ],
      [volume({ projected: { sources: [{ configMap: { name: 'a' } }, { secret: { name: 'b' } }] } })],
      [volume({ projected: { sources: [{}] } }), 'spec.volumes[0].projected.sources[0]', 'must specify a source'],
      [
        volume({ projected: { sources: [{ configMap: {} }] } }),
        'spec.volumes[0].projected.sources[0].configMap.name',
        'Required value',
      ],
      [
        volume({ configMap: { name: 'a', items: [{ key: 'k', path: '..data' }] } }),
        'spec.volumes[0].configMap.items[0].path',
        "must not start with '..'",
      ],
      [
        volume({
          projected: {
            sources: [
              { configMap: { name: 'a', items: [{ key: 'k', path: 'same' }] } },
              { serviceAccountToken: { path: 'same' } },
            ],
          },
        }),
        'spec.volumes[0].projected.sources[1].serviceAccountToken.path',
        'conflicting duplicate paths',
      ],
      [volume({ projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 600 } }] } })],
      [
        volume({ projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 1 } }] } }),
        'spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds',
        'between 600',
      ],
      [
        volume({ projected: { sources: [{ serviceAccountToken: {} }] } }),
        'spec.volumes[0].projected.sources[0].serviceAccountToken.path',
        'Required value',
      ],
      [volume({ csi: { driver: 'x' } })],
      [
        volume({ emptyDir: {}, hostPath: { path: '/a' } }),
        'spec.volumes[0].hostPath',
        'may not specify more than 1 volume type',
      ],
      [{ 'spec.volumes': [{ name: 'v' }, { name: 'v' }] }, 'spec.volumes[1].name', 'Duplicate value: "v"'],
      [{ 'spec.volumes': [{ name: 'V' }] }, 'spec.volumes[0].name', 'RFC 1123 label'],
      [{ 'spec.volumes': [{}] }, 'spec.volumes[0].name', 'Required value'],
    ]);

    const mounts = (list: readonly Json[]) => ({ 'spec.volumes': [{ name: 'v' }], [`${at}.volumeMounts`]: list });
    rows('pods', aPod(), [
      [
        mounts([
          { name: 'v', mountPath: '/a', subPath: 'x/y' },
          { name: 'v', mountPath: '/b' },
        ]),
      ],
      [
        mounts([{ name: 'w', mountPath: '/a' }]),
        `${at}.volumeMounts[0].name`,
        `Not found: "w": must be one of the pod's volumes: v`,
      ],
      [mounts([{ mountPath: '/a' }]), `${at}.volumeMounts[0].name`, 'Required value'],
      [mounts([{ name: 'v' }]), `${at}.volumeMounts[0].mountPath`, 'Required value'],
      [mounts([{ name: 'v', mountPath: '/a:b' }]), `${at}.volumeMounts[0].mountPath`, "must not contain ':'"],
      [
        mounts([
          { name: 'v', mountPath: '/a' },
          { name: 'v', mountPath: '/a' },
        ]),
        `${at}.volumeMounts[1].mountPath`,
        'must be unique',
      ],
      [mounts([{ name: 'v', mountPath: '/a', subPath: '/x' }]), `${at}.volumeMounts[0].subPath`, 'relative'],
      [mounts([{ name: 'v', mountPath: '/a', subPath: 'x/..' }]), `${at}.volumeMounts[0].subPath`, "'..'"],
      [mounts([{ name: 'v', mountPath: '/a', subPathExpr: '$(POD)/x', mountPropagation: 'HostToContainer' }])],
      [mounts([{ name: 'v', mountPath: '/a', subPathExpr: '/x' }]), `${at}.volumeMounts[0].subPathExpr`, 'relative'],
      [
        mounts([{ name: 'v', mountPath: '/a', subPath: 'x', subPathExpr: 'x' }]),
        `${at}.volumeMounts[0].subPathExpr`,
        'mutually exclusive',
      ],
      [
        mounts([{ name: 'v', mountPath: '/a', mountPropagation: 'Both' }]),
        `${at}.volumeMounts[0].mountPropagation`,
        'Unsupported value',
      ],
      [
        mounts([{ name: 'v', mountPath: '/a', mountPropagation: 'Bidirectional' }]),
        `${at}.volumeMounts[0].mountPropagation`,
        'only to privileged containers',
      ],
      [
        {
          ...mounts([{ name: 'v', mountPath: '/a', mountPropagation: 'Bidirectional' }]),
          [`${at}.securityContext`]: { privileged: true },
        },
      ],
    ]);
  });

  describe('whether they may be moved', () => {
    const say = (value: string) => ({ 'metadata.annotations': { 'troupe.dev/rebalance': value } });
    rows('pods', aPod(), [
      [say('true')],
      [say('false')],
      [say('yes'), 'metadata.annotations[troupe.dev/rebalance]', 'Unsupported value'],
    ]);
  });

  describe('scheduling gates', () => {
    const gates = (...names: string[]) => ({ 'spec.schedulingGates': names.map((name) => ({ name })) });
    rows('pods', aPod(), [
      [gates('example.com/quota', 'licence')],
      [gates(''), 'spec.schedulingGates[0].name', 'Required value'],
      [gates('a b'), 'spec.schedulingGates[0].name', 'a space'],
      [gates('a', 'a'), 'spec.schedulingGates[1]', 'Duplicate value'],
      [
        { ...gates('a'), 'spec.nodeName': 'n1' },
        'spec.nodeName',
        'cannot be set until all schedulingGates have been cleared',
      ],
    ]);
  });

  describe('tolerations', () => {
    const tolerate = (toleration: Json) => ({ 'spec.tolerations': [toleration] });
    const field = 'spec.tolerations[0]';
    rows('pods', aPod(), [
      [tolerate({ operator: 'Exists' })],
      [tolerate({ key: 'a', operator: 'Equal', value: 'b', effect: 'NoSchedule' })],
      [tolerate({ key: 'a', value: 'b' })],
      [tolerate({ key: 'a', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 3 })],
      [tolerate({ value: 'b' }), `${field}.operator`, 'operator must be Exists when `key` is empty'],
      [tolerate({ key: 'a b' }), `${field}.key`, 'a space'],
      [tolerate({ key: 'a', operator: 'In' }), `${field}.operator`, 'Unsupported value'],
      [
        tolerate({ key: 'a', operator: 'Exists', value: 'b' }),
        `${field}.value`,
        'must be empty when `operator` is Exists',
      ],
      [tolerate({ key: 'a', value: 'a b' }), `${field}.value`, 'a space'],
      [tolerate({ key: 'a', effect: 'Never' }), `${field}.effect`, 'Unsupported value'],
      [
        tolerate({ key: 'a', effect: 'NoSchedule', tolerationSeconds: 3 }),
        `${field}.effect`,
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
      ],
    ]);
  });
});

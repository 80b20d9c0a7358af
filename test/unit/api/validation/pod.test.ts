import type { Json } from '../../../../lib/api/json.ts';
import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aContainer, anRc, aPod } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, short, type Row } from './rows.ts';

const at = 'spec.containers[0]';
/** Rows about one field of the only container. */
const inContainer = (
  part: string,
  list: readonly (readonly [value: unknown, below?: string, message?: string | RegExp])[],
): readonly Row[] =>
  list.map(
    ([value, below, message]) =>
      [{ [`${at}.${part}`]: value }, below === undefined ? undefined : `${at}.${part}${below}`, message] as Row,
  );

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
    [{ 'spec.ephemeralContainers': [{ name: 'debug' }] }, 'spec.ephemeralContainers', 'cannot be set on create'],
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
      [annotated({ [max]: '1h' })],
      [annotated({ [initial]: '99ms' }), `metadata.annotations[${initial}]`, 'from 100ms to 1h'],
      [annotated({ [initial]: '1.5s' }), `metadata.annotations[${initial}]`, 'Invalid value: "1.5s"'],
      [annotated({ [max]: '61m' }), `metadata.annotations[${max}]`, 'from 100ms to 1h'],
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

  describe('container', () => {
    rows('pods', aPod(), [
      ...inContainer('name', [
        ['a'.repeat(63)],
        ['a'.repeat(64), '', '63'],
        [undefined, '', 'Required value'],
        ['A', '', 'RFC 1123 label'],
      ]),
      ...inContainer('image', [
        ['registry:5000/a/b:1'],
        [undefined, '', 'Required value'],
        ['', '', 'Required value'],
        [' a', '', 'must not have leading or trailing whitespace'],
      ]),
      ...inContainer('imagePullPolicy', [['Never'], ['Sometimes', '', 'Unsupported value']]),
      ...inContainer('terminationMessagePolicy', [['FallbackToLogsOnError'], ['x', '', 'Unsupported value']]),
      ...inContainer('restartPolicy', [['Always', '', 'may not be set for non-init containers']]),
      ...inContainer('securityContext', [
        [{ privileged: true }],
        [{ privileged: true, allowPrivilegeEscalation: false }, '.allowPrivilegeEscalation', 'cannot be false'],
        [{ runAsGroup: -1 }, '.runAsGroup', 'between 0'],
        [{ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }],
        [
          { allowPrivilegeEscalation: false, capabilities: { add: ['CAP_SYS_ADMIN'] } },
          '.allowPrivilegeEscalation',
          '`capabilities.add` has SYS_ADMIN',
        ],
        [{ procMount: 'Unmasked' }],
        [{ procMount: 'Some' }, '.procMount', 'Unsupported value'],
        [{ seccompProfile: { type: 'Localhost' } }, '.seccompProfile.localhostProfile', 'must be set'],
      ]),
    ]);
  });

  describe('container ports', () => {
    rows('pods', aPod(), [
      ...inContainer('ports', [
        [[{ containerPort: 1 }, { containerPort: 65535, name: 'http' }]],
        [[{}], '[0].containerPort', 'Required value'],
        [[{ containerPort: 65536 }], '[0].containerPort', 'between 1 and 65535, inclusive'],
        [[{ containerPort: -1 }], '[0].containerPort', 'between 1 and 65535'],
        [
          [{ containerPort: 80, protocol: 'HTTP' }],
          '[0].protocol',
          'Unsupported value: "HTTP": supported values: "TCP", "UDP", "SCTP"',
        ],
        [[{ containerPort: 80, name: 'a'.repeat(16) }], '[0].name', '15'],
        [
          [
            { containerPort: 80, name: 'a' },
            { containerPort: 81, name: 'a' },
          ],
          '[1].name',
          'Duplicate value: "a"',
        ],
        [[{ containerPort: 80, hostPort: 65536 }], '[0].hostPort', 'between 1 and 65535'],
        [
          [
            { containerPort: 80, hostPort: 80 },
            { containerPort: 81, hostPort: 80 },
          ],
          '[1].hostPort',
          'Duplicate value: 80',
        ],
        [
          [
            { containerPort: 80, hostPort: 80 },
            { containerPort: 80, hostPort: 80, protocol: 'UDP' },
          ],
        ],
        [[{ containerPort: 80, hostIP: 'x' }], '[0].hostIP', 'IPv4'],
      ]),
      [
        { 'spec.hostNetwork': true, [`${at}.ports`]: [{ containerPort: 80, hostPort: 81 }] },
        `${at}.ports[0].hostPort`,
        'must match `containerPort`',
      ],
      [
        {
          [`${at}.ports`]: [{ containerPort: 80, name: 'a' }],
          'spec.containers[1]': aContainer({ name: 'b', ports: [{ containerPort: 81, name: 'a', protocol: 'TCP' }] }),
        },
        'spec.containers[1].ports[0].name',
        'Duplicate',
      ],
    ]);
  });

  describe('environment', () => {
    const from = (valueFrom: Json) => [{ name: 'A', valueFrom }];
    rows('pods', aPod(), [
      ...inContainer('env', [
        [[{ name: 'A', value: 'x' }, { name: 'my.var' }, { name: 'B', value: '' }]],
        [[{ value: 'x' }], '[0].name', 'Required value'],
        [[{ name: 'A=B' }], '[0].name', "'=' at position 2"],
        [from({ fieldRef: { fieldPath: 'metadata.name' } })],
        [from({ fieldRef: { fieldPath: "metadata.labels['example.com/a']" } })],
        [
          from({ fieldRef: { fieldPath: "metadata.annotations['a b']" } }),
          '[0].valueFrom.fieldRef.fieldPath',
          'a space',
        ],
        [from({ fieldRef: { fieldPath: 'spec.containers' } }), '[0].valueFrom.fieldRef.fieldPath', 'Unsupported value'],
        [from({ fieldRef: {} }), '[0].valueFrom.fieldRef.fieldPath', 'Required value'],
        [
          from({ fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v2' } }),
          '[0].valueFrom.fieldRef.apiVersion',
          'Unsupported value',
        ],
        [from({ resourceFieldRef: { resource: 'limits.cpu' } })],
        [
          from({ resourceFieldRef: { resource: 'limits.gpu' } }),
          '[0].valueFrom.resourceFieldRef.resource',
          'Unsupported value',
        ],
        [from({ resourceFieldRef: {} }), '[0].valueFrom.resourceFieldRef.resource', 'Required value'],
        [
          from({ resourceFieldRef: { resource: 'limits.cpu', divisor: '-1' } }),
          '[0].valueFrom.resourceFieldRef.divisor',
          'greater than 0',
        ],
        [from({ configMapKeyRef: { name: 'a', key: 'b' } })],
        [from({ configMapKeyRef: { name: 'a' } }), '[0].valueFrom.configMapKeyRef.key', 'Required value'],
        [from({ secretKeyRef: { key: 'a/b', name: 'x' } }), '[0].valueFrom.secretKeyRef.key', "'/' at position 2"],
        [from({ secretKeyRef: { key: 'a' } }), '[0].valueFrom.secretKeyRef.name', 'Required value'],
        [from({}), '[0].valueFrom', 'must specify one of'],
        [
          from({ fieldRef: { fieldPath: 'metadata.name' }, configMapKeyRef: { name: 'a', key: 'b' } }),
          '[0].valueFrom',
          'more than one',
        ],
        [
          [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
          '[0].valueFrom',
          'may not be specified when `value` is not empty',
        ],
      ]),
      ...inContainer('envFrom', [
        [[{ configMapRef: { name: 'a' }, prefix: 'A_' }, { secretRef: { name: 'b' } }]],
        [[{}], '[0]', 'must specify one of'],
        [[{ configMapRef: {} }], '[0].configMapRef.name', 'Required value'],
        [[{ configMapRef: { name: 'a' }, secretRef: { name: 'b' } }], '[0]', 'more than one'],
        [[{ configMapRef: { name: 'a' }, prefix: 'A=' }], '[0].prefix', "'='"],
      ]),
    ]);
  });

  describe('resources', () => {
    rows(
      'pods',
      aPod(),
      inContainer('resources', [
        [{ requests: { cpu: '250m', memory: '64Mi' }, limits: { cpu: '1', memory: '64Mi' } }],
        [
          { requests: { cpu: '2' }, limits: { cpu: '1' } },
          '.requests',
          'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ],
        [{ requests: { cpu: '-1' } }, '.requests[cpu]', 'greater than or equal to 0'],
        [{ requests: { cpu: 'lots' } }, '.requests[cpu]', 'must be a number with an optional suffix'],
        [{ requests: { gpu: '1' } }, '.requests[gpu]', 'must be a standard resource for containers'],
        [{ requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } }],
        [{ requests: { 'a b': '1' } }, '.requests[a b]', 'a space'],
      ]),
    );
    it('wants whole numbers of what is counted by the piece', () => {
      const pod = changed(aPod(), { [`${at}.resources`]: { limits: { 'example.com/gpu': '500m' } } });
      expectCauses(
        validateUpdate('pods', pod, pod),
        `${at}.resources.limits[example.com/gpu]`,
        'must be a whole number',
      );
    });
    it('wants as much asked for as allowed of what cannot be shared', () => {
      const resources = { limits: { 'example.com/gpu': '2' }, requests: { 'example.com/gpu': '1' } };
      const pod = changed(aPod(), { [`${at}.resources`]: resources });
      expectCauses(
        validateUpdate('pods', pod, pod),
        `${at}.resources.requests`,
        'must be equal to example.com/gpu limit of 2',
      );
    });
  });

  describe('probes', () => {
    const http = { httpGet: { path: '/', port: 80 } };
    rows('pods', aPod(), [
      ...inContainer('livenessProbe', [
        [http],
        [{ httpGet: { port: 'http' }, initialDelaySeconds: 0 }],
        [{ tcpSocket: { port: 65535 } }],
        [{ exec: { command: ['true'] } }],
        [{ grpc: { port: 1 } }],
        [{}, '', 'Required value: must specify a handler type'],
        [{ ...http, tcpSocket: { port: 80 } }, '.tcpSocket', 'may not specify more than 1 handler type'],
        [{ exec: {} }, '.exec.command', 'Required value'],
        [{ httpGet: {} }, '.httpGet.port', 'Required value'],
        [{ httpGet: { port: 0 } }, '.httpGet.port', 'between 1 and 65535'],
        [{ httpGet: { port: '80' } }, '.httpGet.port', 'at least one letter'],
        [{ httpGet: { port: 80, scheme: 'FTP' } }, '.httpGet.scheme', 'Unsupported value'],
        [{ httpGet: { port: 80, httpHeaders: [{ name: 'X-A', value: 'b' }] } }],
        [
          { httpGet: { port: 80, httpHeaders: [{ name: 'X A', value: 'b' }] } },
          '.httpGet.httpHeaders[0].name',
          'letters',
        ],
        [{ grpc: {} }, '.grpc.port', 'Required value'],
        [{ ...http, initialDelaySeconds: -1 }, '.initialDelaySeconds', 'greater than or equal to 0'],
        [{ ...http, timeoutSeconds: -1 }, '.timeoutSeconds', 'greater than or equal to 1'],
        [{ ...http, periodSeconds: -1 }, '.periodSeconds', 'greater than or equal to 1'],
        [{ ...http, failureThreshold: -1 }, '.failureThreshold', 'greater than or equal to 1'],
        [{ ...http, successThreshold: 2 }, '.successThreshold', 'must be 1'],
        [{ ...http, terminationGracePeriodSeconds: 1 }],
        [{ ...http, terminationGracePeriodSeconds: 0 }, '.terminationGracePeriodSeconds', 'greater than or equal to 1'],
      ]),
      ...inContainer('startupProbe', [[http], [{ ...http, successThreshold: 2 }, '.successThreshold', 'must be 1']]),
      ...inContainer('readinessProbe', [
        [{ ...http, successThreshold: 2 }],
        [
          { ...http, terminationGracePeriodSeconds: 1 },
          '.terminationGracePeriodSeconds',
          'must not be set for readinessProbes',
        ],
      ]),
      ...inContainer('lifecycle', [
        [{ preStop: { exec: { command: ['a'] } }, postStart: { httpGet: { port: 80 } } }],
        [{ preStop: { sleep: { seconds: 30 } } }],
        [
          { preStop: { sleep: { seconds: 31 } } },
          '.preStop.sleep.seconds',
          'no more than terminationGracePeriodSeconds (30)',
        ],
        [{ preStop: { sleep: { seconds: 0 } } }, '.preStop.sleep.seconds', 'greater than 0'],
        [{ postStart: {} }, '.postStart', 'must specify a handler type'],
        [
          { postStart: { tcpSocket: { port: 1 }, exec: { command: ['a'] } } },
          '.postStart.tcpSocket',
          'more than 1 handler',
        ],
      ]),
      [
        { 'spec.initContainers[0]': aContainer({ name: 'i' }), 'spec.initContainers[0].livenessProbe': http },
        'spec.initContainers[0].livenessProbe',
        'may not be set for init containers',
      ],
      [
        {
          'spec.initContainers[0]': aContainer({ name: 'i' }),
          'spec.initContainers[0].lifecycle': { preStop: { exec: { command: ['a'] } } },
        },
        'spec.initContainers[0].lifecycle',
        'may not be set for init containers',
      ],
      [
        {
          'spec.initContainers[0]': aContainer({ name: 'i', restartPolicy: 'Always' }),
          'spec.initContainers[0].livenessProbe': http,
        },
      ],
      [
        { 'spec.initContainers[0]': aContainer({ name: 'i' }), 'spec.initContainers[0].restartPolicy': 'Never' },
        'spec.initContainers[0].restartPolicy',
        'supported values: "Always"',
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

describe('api/validation: pod updates', () => {
  const old = aPod({ nodeName: 'n1', tolerations: [{ key: 'a', operator: 'Exists' }] });
  const only = 'pod updates may not change fields other than `spec.containers[*].image`';
  const cases: readonly (readonly [next: Json, previous: Json, field?: string, message?: string | RegExp])[] = [
    [{ 'spec.containers[0].image': 'web:2' }, {}],
    [{ 'spec.containers[0].image': '' }, {}, 'spec.containers[0].image', 'Required value'],
    [{ 'metadata.labels': { a: 'b' } }, {}],
    [{ 'spec.nodeName': 'n2' }, {}, 'spec', `${only}`],
    [{ 'spec.nodeName': 'n2' }, {}, 'spec', /this changes spec\.nodeName$/],
    [{ 'spec.containers[0].command': ['x'] }, {}, 'spec', /this changes spec\.containers\[0\]\.command$/],
    [{ 'spec.containers[1]': aContainer({ name: 'b' }) }, {}, 'spec', /this changes spec\.containers$/],
    [
      { 'spec.restartPolicy': 'Never', 'spec.hostname': 'x' },
      {},
      'spec',
      /this changes spec\.restartPolicy, spec\.hostname$/,
    ],
    [{ 'spec.initContainers[0].image': 'b' }, { 'spec.initContainers[0]': aContainer({ name: 'i' }) }, 'spec', only],
    [
      { 'spec.initContainers[0]': aContainer({ name: 'i', image: 'b:2' }) },
      { 'spec.initContainers[0]': aContainer({ name: 'i' }) },
    ],
    [{ 'spec.activeDeadlineSeconds': 10 }, {}],
    [{ 'spec.activeDeadlineSeconds': 9 }, { 'spec.activeDeadlineSeconds': 10 }],
    [
      { 'spec.activeDeadlineSeconds': 11 },
      { 'spec.activeDeadlineSeconds': 10 },
      'spec.activeDeadlineSeconds',
      'less than or equal to previous value (10)',
    ],
    [{}, { 'spec.activeDeadlineSeconds': 10 }, 'spec.activeDeadlineSeconds', 'must not be removed'],
    [
      {
        'spec.tolerations': [
          { key: 'b', operator: 'Exists' },
          { key: 'a', operator: 'Exists' },
        ],
      },
      {},
    ],
    [{ 'spec.tolerations': [] }, {}, 'spec.tolerations', 'existing toleration can not be modified'],
    [
      { 'spec.tolerations': [{ key: 'a', operator: 'Exists', effect: 'NoExecute' }] },
      {},
      'spec.tolerations',
      'existing toleration',
    ],
    [
      { 'spec.tolerations': [{ key: 'a', effect: 'NoExecute', tolerationSeconds: 9 }] },
      { 'spec.tolerations': [{ key: 'a', effect: 'NoExecute', tolerationSeconds: 5 }] },
    ],
    [{ 'spec.terminationGracePeriodSeconds': 1 }, {}, 'spec', only],
    [{ 'spec.terminationGracePeriodSeconds': 1 }, { 'spec.terminationGracePeriodSeconds': -1 }],
  ];
  for (const [next, previous, field, message] of cases)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () => {
      const incomplete = 'spec.initContainers[0].image' in next;
      const before = changed(old, previous);
      const after = changed(
        incomplete ? before : old,
        incomplete ? { 'spec.initContainers[0].name': 'renamed' } : next,
      );
      expectCauses(validateUpdate('pods', after, before), field, message);
    });
});

describe('api/validation: pod status', () => {
  const ended = (exitCode: number) => [{ name: 'main', state: { terminated: { exitCode } } }];
  const running = [{ name: 'main', state: { running: {} }, restartCount: 1 }];
  const cases: readonly (readonly [next: Json, previous: Json, field?: string, message?: string | RegExp])[] = [
    [{ 'status.phase': 'Running' }, { 'status.phase': 'Pending' }],
    [{ 'status.phase': 'Failed' }, { 'status.phase': 'Running' }],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Pending' }],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Succeeded' }],
    [{ 'status.phase': 'Running' }, { 'status.phase': 'Succeeded' }, 'status.phase', 'a terminal phase is final'],
    [{ 'status.phase': 'Succeeded' }, { 'status.phase': 'Failed' }, 'status.phase', 'a pod that is Failed stays so'],
    [{ 'status.phase': undefined }, { 'status.phase': 'Failed' }, 'status.phase', 'final'],
    [{ 'status.phase': 'Done' }, {}, 'status.phase', 'Unsupported value: "Done"'],
    [{ 'status.podIP': 'x' }, {}, 'status.podIP', 'IPv4'],
    [
      { 'status.conditions': [{ type: 'Ready', status: 'Yes' }] },
      {},
      'status.conditions[0].status',
      'Unsupported value',
    ],
    [
      {
        'status.conditions': [
          { type: 'Ready', status: 'True' },
          { type: 'Ready', status: 'True' },
        ],
      },
      {},
      'status.conditions[1].type',
      'Duplicate',
    ],
    [
      { 'status.containerStatuses': [{ name: 'main', restartCount: -1 }] },
      {},
      'status.containerStatuses[0].restartCount',
      'greater than or equal to 0',
    ],
    [{ 'status.containerStatuses': running }, { 'status.containerStatuses': ended(1) }],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(1), 'spec.restartPolicy': 'Never' },
      'status.containerStatuses[0].state',
      'non-terminated',
    ],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(1), 'spec.restartPolicy': 'OnFailure' },
    ],
    [
      { 'status.containerStatuses': running },
      { 'status.containerStatuses': ended(0), 'spec.restartPolicy': 'OnFailure' },
      'status.containerStatuses[0].state',
      'non-terminated',
    ],
    [{ 'status.qosClass': 'Burstable' }, {}, 'status.qosClass', 'immutable'],
  ];
  for (const [next, previous, field, message] of cases)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () =>
      expectCauses(validateStatusUpdate('pods', changed(aPod(), next), changed(aPod(), previous)), field, message));
});

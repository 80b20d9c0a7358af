import type { Json } from '../../../../lib/api/json.ts';
import { validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aContainer, aPod } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, type Row } from './rows.ts';

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

describe('api/validation: pod: its containers', () => {
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
        [{ requests: { 'example.com/gpu': '1' } }, '.limits[example.com/gpu]', 'Required value: what cannot be shared'],
        [{ requests: { 'kubernetes.io/gpu': '1' } }, '.requests[kubernetes.io/gpu]', 'must be a standard resource'],
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
});

import type { ApiObject, IntOrString, LabelSelector, Labels, ObjectReference } from './meta.ts';
import type { Protocol } from './pod.ts';

export interface Service extends ApiObject {
  readonly spec: ServiceSpec;
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly LoadBalancerIngress[] } };
}
/** Where a load balancer takes connections. */
export interface LoadBalancerIngress {
  readonly ip?: string;
  readonly hostname?: string;
  /** VIP (also when absent): nodes take what is sent to `ip` themselves. Proxy: the balancer alone does. */
  readonly ipMode?: 'VIP' | 'Proxy';
  /** Per port, with `error` where it is not served. */
  readonly ports?: readonly { readonly port: number; readonly protocol: Protocol; readonly error?: string }[];
}
export interface ServiceSpec {
  readonly ports?: readonly ServicePort[];
  readonly selector?: Labels;
  /** An address, `None` (headless), or absent for ExternalName. */
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly externalIPs?: readonly string[];
  readonly sessionAffinity: 'None' | 'ClientIP';
  readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
  readonly externalName?: string;
  readonly publishNotReadyAddresses?: boolean;
  readonly internalTrafficPolicy?: 'Cluster' | 'Local';
  readonly externalTrafficPolicy?: 'Cluster' | 'Local';
  /** An address asked of the load balancer. */
  readonly loadBalancerIP?: string;
  /** Which load balancer is to serve it; absent: the default one. */
  readonly loadBalancerClass?: string;
  /** Blocks of senders that the load balancer lets through; empty or absent: all. */
  readonly loadBalancerSourceRanges?: readonly string[];
  readonly allocateLoadBalancerNodePorts?: boolean;
  readonly healthCheckNodePort?: number;
  readonly ipFamilies?: readonly string[];
  readonly ipFamilyPolicy?: string;
  /** Who may connect; absent: everybody. */
  readonly allowedClients?: readonly AllowedClient[];
}
/** Pods by their labels, in namespaces by theirs; without `namespaceSelector` those of the Service's own. */
export interface AllowedClient {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}
export interface ServicePort {
  readonly name?: string;
  readonly protocol: Protocol;
  readonly appProtocol?: string;
  readonly port: number;
  readonly targetPort: IntOrString;
  readonly nodePort?: number;
}

export interface Endpoints extends ApiObject {
  readonly subsets?: readonly EndpointSubset[];
  /** Present: nobody but these may connect. */
  readonly access?: EndpointsAccess;
}
export interface EndpointsAccess {
  /** Addresses, sorted; absent: nobody. */
  readonly clients?: readonly string[];
  /** Pods being deleted: no longer endpoints, still to be guarded. */
  readonly leaving?: readonly EndpointSubset[];
}
export interface EndpointSubset {
  readonly addresses?: readonly EndpointAddress[];
  readonly notReadyAddresses?: readonly EndpointAddress[];
  readonly ports?: readonly EndpointPort[];
}
export interface EndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: ObjectReference;
}
export interface EndpointPort {
  readonly name?: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly appProtocol?: string;
}

/** Some of the endpoints of a Service; `ports` holds for each of them. */
export interface EndpointSlice extends ApiObject {
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly endpoints?: readonly SliceEndpoint[];
  readonly ports?: readonly SlicePort[];
}
export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly targetRef?: ObjectReference;
}
export interface SlicePort {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: Protocol;
  readonly appProtocol?: string;
}
